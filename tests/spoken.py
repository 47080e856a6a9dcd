"""Recordings for tests of what follows from words that were heard."""

from __future__ import annotations

from vitrina_client import Product, Vitrina


def recording(client: Vitrina, script: str, word: str, takes: int = 8) -> bytes:
    """A script in the server's voice, of which its transcriber hears ``word``.

    The voice draws noise of its own, and some takes are misheard: how many is measured elsewhere.
    """
    heard = []
    for _ in range(takes):
        audio = client.speak(script).audio
        heard.append(client.generate(Product("A recording", audio=audio), want={"transcript"}).transcript)
        if word in heard[-1].lower():
            return audio
    raise AssertionError(f"{word!r} was not heard in {takes} takes: {heard}")
