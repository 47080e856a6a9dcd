"""Errors of an export that are neither a recipe's, a source's nor parity's."""


class BuildError(RuntimeError):
    """A slot's export that ended without an answer; the message says which, and what to do."""
