"""A chat as the decoder's prompt: its own template around texts that stay text.

What people send may hold the template's control tokens (``<|im_end|>``). So every message's content stands between two
marks, private-use characters that `stages.text.clean` takes out of all that is sent, and what stands between them is
tokenised without control tokens (`decoding.tokens`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEXT_BEGINS, TEXT_ENDS = "\ue000", "\ue001"
#: Blocks take no line of their own, as chat templates of the HF hub expect.
_ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)


def render(chat: Sequence[Mapping[str, str]], chat_template: str, arguments: Mapping[str, Any] | None = None) -> str:
    """The prompt: `chat` in the decoder's own form, ending where its answer begins, each content between the marks.

    Args:
        chat_template: the checkpoint's ``chat_template.jinja``, run in a sandbox.
        arguments: what the template takes besides, such as ``enable_thinking``.
    """
    messages = [{**message, "content": TEXT_BEGINS + message["content"] + TEXT_ENDS} for message in chat]
    return compiled(chat_template).render(messages=messages, add_generation_prompt=True, **(arguments or {}))


def check_prompt(prompt: str, chat: Sequence[Mapping[str, str]]) -> None:
    """Refuses a prompt that a chat template made wrong.

    Raises:
        ValueError: a message is missing, changed, or not in its place; or the answer would begin with thoughts.
    """
    at = 0
    for message in chat:
        content = TEXT_BEGINS + message["content"] + TEXT_ENDS
        found = prompt.find(content, at)
        if found < 0:
            raise ValueError(f"the chat template leaves out or changes the {message['role']} message")
        at = found + len(content)
    answer = prompt[at:]
    if TEXT_BEGINS in answer:
        raise ValueError("the chat template repeats a message")
    if "<think>" in answer and "</think>" not in answer:
        raise ValueError("the chat template has the answer begin with thoughts; name the argument that turns them off")


@cache
def compiled(template: str) -> Template:
    """A template of the sandbox."""
    return _ENVIRONMENT.from_string(template)
