"""Checkpoint folders in the hub's layout: what is read of one before its network, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers
from transformers import CONFIG_MAPPING
from transformers import __version__ as transformers_version

from families.common.slot import BuildError, Slot

#: Weights that are read without running any code of theirs.
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
#: What transformers reads as a pickle, which runs whatever it says.
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
#: Most tokens of a text: titles need no more, and the cost of attention grows with the square.
MOST_TOKENS = 512
#: Model types whose position ids start after the padding id.
_OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl")


def read_json(folder: Path, name: str, kind: type = dict) -> Any:
    """A JSON object, or another `kind` of value, of a checkpoint's folder.

    Raises:
        BuildError: it is not there, is cut off, or is something else.
    """
    path = folder / name
    if not path.is_file():
        raise BuildError(f"{folder}: no {name}; take the whole folder of the checkpoint")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BuildError(f"{path}: not JSON ({error}); it may be cut off: fetch it again") from error
    if not isinstance(found, kind):
        raise BuildError(f"{path}: holds a JSON {type(found).__name__}, expected {kind.__name__}; take another file")
    return found


def read_numbers(path: Path, names: Collection[str]) -> dict[str, float]:
    """Numbers above nought of a JSON object.

    Raises:
        BuildError: the file is broken, or a number is missing or not above nought.
    """
    found = read_json(path.parent, path.name)
    for name in names:
        if not isinstance(found.get(name), int | float) or not found[name] > 0:
            raise BuildError(f"{path}: {name} is {found.get(name)!r}; write a number above 0")
    return {name: float(found[name]) for name in names}


def model_type(folder: Path) -> str | None:
    """What ``config.json`` says the network is; None where there is no such file.

    Raises:
        BuildError: the file is broken.
    """
    return read_json(folder, "config.json").get("model_type") if (folder / "config.json").is_file() else None


def check(folder: Path, slot: Slot) -> dict:
    """The ``config.json`` of a folder that can be read without running its code.

    Args:
        slot: its option ``pickle: true`` allows weights as a pickle where there are no safetensors.

    Raises:
        BuildError: the file is missing or broken, wants code of the checkpoint's own, a shard is missing, or the
            weights are a pickle.
    """
    config = read_json(folder, "config.json")
    if "auto_map" in config:
        raise BuildError(
            f"{folder}: config.json wants code of its own ({', '.join(map(str, config['auto_map'].values()))}), which "
            "is never run; take a checkpoint of a type that transformers knows"
        )
    if config.get("model_type") not in CONFIG_MAPPING:
        raise BuildError(
            f"{folder}: config.json says model_type {config.get('model_type')!r}, which transformers "
            f"{transformers_version} does not know; take another checkpoint, or a newer transformers"
        )
    if (folder / INDEX).is_file():
        shards = sorted(set(read_json(folder, INDEX).get("weight_map", {}).values()))
        if missing := [name for name in shards if not (folder / name).is_file()]:
            raise BuildError(f"{folder}: {INDEX} names {', '.join(missing)}, which is not there; fetch every shard")
    elif not (folder / WEIGHTS).is_file():
        pickles = [name for name in PICKLES if (folder / name).is_file()]
        if not pickles:
            raise BuildError(f"{folder}: no {WEIGHTS}; take the whole folder of the checkpoint")
        if not slot.options.get("pickle"):
            raise BuildError(
                f"{folder}: its weights are a pickle ({pickles[0]}), which runs whatever is in it; save them as "
                "safetensors, or set the slot's option pickle: true"
            )
    return config


def most_tokens(folder: Path, config: dict, *limits: int | None) -> int:
    """The longest text, in tokens, that a text network may be given.

    Args:
        config: of the text network.
        limits: further ones beside :data:`MOST_TOKENS`; None is none.
    """
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in _OFFSET:
        positions -= 1 + config.get("pad_token_id", 1)
    truncation = _tokenizer(folder).truncation
    known = [n for n in (positions, truncation and truncation["max_length"], *limits) if n]
    return min([*known, MOST_TOKENS])


def tokenizer(folder: Path, config: dict, tokens: int) -> Tokenizer:
    """The checkpoint's tokenizer, with the most tokens and the padding that its network takes.

    Args:
        config: of the text network.

    Raises:
        BuildError: the folder has none, or it cannot be read.
    """
    tokenizer = _tokenizer(folder)
    tokenizer.enable_truncation(tokens)
    settings = read_json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    if settings.get("tokenizer_class") == "Siglip2Tokenizer":  # whose code lowers letters, not the file
        normalize_before(tokenizer, normalizers.Lowercase())
    # What the tokenizer says goes before the configuration, whose default may be of another vocabulary.
    known = [tokenizer.token_to_id(token) for token in ("<pad>", "[PAD]")]
    said = [(tokenizer.padding or {}).get("pad_id"), *known, config.get("pad_token_id")]
    pad_id = next((each for each in said if each is not None), 0)
    tokenizer.enable_padding(pad_id=pad_id, pad_token=tokenizer.id_to_token(pad_id) or "[PAD]")
    return tokenizer


def normalize_before(tokenizer: Tokenizer, first: normalizers.Normalizer) -> None:
    """Puts a normalizer before the tokenizer's own."""
    own = [tokenizer.normalizer] if tokenizer.normalizer else []
    tokenizer.normalizer = normalizers.Sequence([first, *own])


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BuildError(
            f"{folder}: no tokenizer.json; write one with transformers: "
            f"AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise BuildError(f"{path}: cannot be read ({error}); fetch it again") from error


def check_weights(folder: Path, report: dict, *spare: str) -> None:
    """Refuses a checkpoint that lacks weights: transformers takes random ones for them.

    Args:
        report: of transformers' loading.
        spare: beginnings of names that nothing here reads.

    Raises:
        BuildError: the first that is missing is named.
    """
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith(spare)):
        raise BuildError(f"{folder}: {len(missing)} weights are missing ({missing[0]}, …); take a whole checkpoint")
