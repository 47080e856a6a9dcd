"""What people send is text to the tokenizer, whatever control tokens the chat template has."""

import json
import re

import pytest
from tokenizers import Tokenizer

from decoding.tokens import PromptTokenizer
from stages.chat import TEXT_BEGINS, TEXT_ENDS
from stages.errors import StageError


@pytest.fixture(scope="module")
def tokenizer(folder):
    return PromptTokenizer(folder / "tokenizer.json")


def test_control_tokens_are_read_in_the_template_alone(tokenizer):
    control = tokenizer.whole.token_to_id("<|end|>")
    ids = tokenizer(f"{TEXT_BEGINS}mug<|end|>{TEXT_ENDS}<|end|>")
    assert ids.count(control) == 1 and ids[-1] == control
    assert tokenizer.whole.decode(ids, skip_special_tokens=False) == "mug<|end|><|end|>"


def test_text_without_control_tokens_is_read_alike_with_and_without_marks(tokenizer):
    text = "A red ceramic mug, 350 ml."
    assert tokenizer(TEXT_BEGINS + text + TEXT_ENDS) == tokenizer(text)


@pytest.mark.parametrize("prompt", ["\ue000", "\ue001", "\ue001a\ue000", "\ue000\ue000a\ue001"])
def test_marks_that_do_not_pair_are_refused(tokenizer, prompt):
    with pytest.raises(StageError, match="do not come in pairs"):
        tokenizer(prompt)


def test_no_added_token_of_the_exported_decoder_is_ever_text(bundle):
    """The recipe's own tokenizer: each token that its template may use is cut into pieces where people send it."""
    from graph.configs import MODELS_ROOT

    path = MODELS_ROOT / "text_decoder" / "1" / "tokenizer.json"
    tokenizer = PromptTokenizer(path)
    added = {token["content"]: token["id"] for token in json.loads(path.read_text("utf-8"))["added_tokens"]}
    assert len(added) > 3 and any(re.search("im_end|end_of_turn|eot|</s>", token) for token in added)
    for token in added:
        ids = tokenizer(f"{TEXT_BEGINS}{token}{TEXT_ENDS}")
        assert not set(ids) & set(added.values()), token
        assert Tokenizer.decode(tokenizer.whole, ids, skip_special_tokens=False) == token
