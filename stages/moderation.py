"""What a shop will not show: texts and pictures against a policy file (`policy.yaml`), each finding with its reason.

Three ways of finding: words of the policy; sentences that read like its examples (English, by the text encoder's
embeddings); ImageNet classes of a picture (by the image encoder's probabilities).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stages.errors import UNREADABLE, StageError
from stages.label_text import read_label_text
from stages.text import sentences

POLICY = Path(__file__).with_name("policy.yaml")
LABELS = Path(__file__).parents[1] / "weights" / "imagenet_labels.json"
#: Sentences of one text that are compared with the examples; words are sought in all of it.
MAX_SENTENCES = 64
RIDGE = 1.0
Action = Literal["allow", "flag", "block"]
_ACTIONS: tuple[Action, ...] = ("allow", "flag", "block")
_PIECE = re.compile(r"[0-9a-z]+|[^\x00-\x7f]")
_ENGLISH = re.compile(r"[A-Za-z]{2,}")
#: What goes on a word; Chinese and its neighbours put no spaces between words, so theirs do not.
_LETTER = r"[^\W\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]"


class Finding(NamedTuple):
    """One reason.

    Attributes:
        field: where it was found: ``TITLE``, ``ATTRIBUTES``, ``IMAGE``, ``VIDEO``, ``TRANSCRIPT`` (what is said in the
            sound), ``LABEL`` (what is printed on the product), ``TEXT`` (what was written), ``SCRIPT`` or ``CAPTION``.
        by: ``words``, ``likeness`` or ``class``.
        evidence: the word; the sentence and the example it is like; the class.
        score: 1 for a word; the likeness, about 0 to 1; the class's probability.
    """

    category: str
    action: Action
    field: str
    by: str
    evidence: str
    score: float


class Category(BaseModel):
    """One kind of thing, as `policy.yaml` explains it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["flag", "block"]
    words: dict[Literal["en", "zh"], tuple[str, ...]] = {}
    examples: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    likeness: float | None = Field(None, gt=0, le=1)
    classes: tuple[str, ...] = ()
    class_score: float | None = Field(None, gt=0, le=1)

    @field_validator("classes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in labels()]:
            raise ValueError(f"{unknown[0]!r} is no ImageNet class; the names stand in weights/imagenet_labels.json")
        return names

    @cached_property
    def forbidden(self) -> re.Pattern[str] | None:
        """Finds a word of the category."""
        return _any(word for words in self.words.values() for word in words)

    @cached_property
    def harmless(self) -> re.Pattern[str] | None:
        """Finds a phrase in which the category's words mean something else."""
        return _any(self.unlike)


class Policy(BaseModel):
    """A policy file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    likeness: float = Field(gt=0, le=1)
    sure_likeness: float = Field(gt=0, le=1)
    class_score: float = Field(gt=0, le=1)
    ordinary: tuple[str, ...] = ()
    categories: dict[str, Category]

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Reads a policy.

        Raises:
            ValueError: it cannot be read, or has a key or a value that no policy has; the message names the place.
        """
        try:
            return cls.model_validate(yaml.safe_load(path.read_text("utf-8")))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise ValueError(f"policy {path}: {place}: {first['msg']}; see stages/policy.yaml") from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"policy {path} cannot be read: {error}") from error

    @classmethod
    def in_force(cls) -> Policy:
        """The policy that this server was started with: the file that VITRINA_POLICY names, or the project's own."""
        return cls.load(Path(os.environ.get("VITRINA_POLICY") or POLICY))

    @cached_property
    def phrases(self) -> list[str]:
        """Every example, then every text that is none: what :class:`Likeness` wants the embeddings of."""
        every = self.categories.values()
        others = (phrase for each in every for phrase in each.unlike if _ENGLISH.search(phrase))
        return [*(example for each in every for example in each.examples), *dict.fromkeys((*self.ordinary, *others))]

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """Every beginning of a word that blocks, and of a phrase in which it is harmless, as :func:`_even` has them."""
        harmless = (
            phrase
            for category in self.categories.values()
            if category.action == "block" and (forbidden := category.forbidden)
            for phrase in category.unlike
            if forbidden.search(phrase)
        )
        phrases = map(_even, (*self._blocking, *harmless))
        return frozenset(even[:end] for even in phrases for end in range(1, len(even) + 1))

    @cached_property
    def first_pieces(self) -> frozenset[str]:
        """What every word that blocks begins with, of :data:`_PIECE`: where none of it stands, no such word does."""
        return frozenset(_PIECE.findall(_even(word))[0] for word in self._blocking)

    @cached_property
    def _blocking(self) -> list[str]:
        every = (words for each in self.categories.values() if each.action == "block" for words in each.words.values())
        return [word + plural for words in every for word in words for plural in ("", "s", "es")]

    def worded(self, text: str, field: str) -> list[Finding]:
        """The words of the policy that stand in a text, one finding to a category."""
        text = unicodedata.normalize("NFKC", text)
        found = []
        for name, category in self.categories.items():
            if category.forbidden is None:
                continue
            rest = category.harmless.sub(" · ", text) if category.harmless else text
            if match := category.forbidden.search(rest):
                found.append(Finding(name, category.action, field, "words", match[0], 1.0))
        return found

    def shown(self, scores: NDArray[np.float32], names: tuple[str, ...], field: str) -> list[Finding]:
        """The categories of a picture's class probabilities.

        Args:
            scores: float32 [classes]; all zero where there is no picture.
            names: of the classes. A class of the policy that the image encoder does not know is never seen.
        """
        found = []
        for name, category in self.categories.items():
            places = _places(category.classes, names)
            if places and (sure := float(scores[places].sum())) >= (category.class_score or self.class_score):
                best = max(places, key=lambda place: scores[place])
                found.append(Finding(name, category.action, field, "class", names[best], round(sure, 3)))
        return found


class Watch:
    """Lets a stream's text through as far as the policy's words have been sought in it.

    Args:
        field: what a refusal names.
    """

    def __init__(self, policy: Policy, field: str = "TEXT") -> None:
        self._policy, self._field = policy, field
        self._longest = max(map(len, policy.beginnings), default=0)
        self._said, self._passed = "", 0

    def __call__(self, text: str, ended: bool) -> str:
        """What may go out now that `text` has come; what may yet become a word that blocks waits for more.

        Raises:
            StageError: ``blocked``: a word that blocks stands in what has not gone out.
        """
        self._said += text
        safe = len(self._said) if ended else self._safe()
        begin = self._said.rfind(" ", 0, max(0, self._passed - 2 * self._longest)) + 1  # not within a word
        if self._blocking(begin, safe):
            # What went out was let through with more before it: "gun" is no end of "glue gun" if one begins there.
            while begin < self._passed and self._blocking(begin, self._passed):
                begin = self._said.find(" ", begin, self._passed) + 1 or self._passed
            if blocking := self._blocking(begin, safe):
                raise StageError("blocked", self._field, reason(blocking))
        passing, self._passed = self._said[self._passed : safe], max(self._passed, safe)
        return passing

    def _blocking(self, begin: int, end: int) -> list[Finding]:
        """What blocks in what was said from one place to another."""
        window = self._said[begin:end]
        if self._policy.first_pieces.isdisjoint(_PIECE.findall(_even(window))):
            return []
        return [finding for finding in self._policy.worded(window, self._field) if finding.action == "block"]

    def _safe(self) -> int:
        """Where the first phrase begins that may go on."""
        least = max(self._passed, len(self._said) - 2 * self._longest)
        for place in range(least, len(self._said)):
            inside = place and re.match(_LETTER, self._said[place - 1]) and self._said[place].isascii()
            if not inside and _even(self._said[place:]) in self._policy.beginnings:
                return place
        return len(self._said)


class Likeness:
    """Which categories a sentence reads like: one ridge regression on the embeddings of the policy's own phrases.

    Args:
        embeddings: of the policy's `phrases`, float32 [phrases, width], unit length.
    """

    def __init__(self, policy: Policy, embeddings: NDArray[np.float32]) -> None:
        self._policy, self._embeddings = policy, embeddings
        of = [number for number, each in enumerate(policy.categories.values()) for _ in each.examples]
        wanted = np.zeros((len(embeddings), len(policy.categories)), np.float32)
        wanted[np.arange(len(of)), of] = 1
        self._of = np.array(of, int)
        gram = embeddings @ embeddings.T + RIDGE * np.eye(len(embeddings), dtype=np.float32)
        self._weights = embeddings.T @ np.linalg.solve(gram, wanted)

    def __call__(self, said: Sequence[str], embeddings: NDArray[np.float32], field: str) -> list[Finding]:
        """The categories that sentences are like, each with the sentence that is most so.

        Args:
            said: sentences, as :func:`comparable` gives them.
            embeddings: of the sentences, float32 [sentences, width], unit length.
        """
        found = []
        scores = embeddings @ self._weights
        for number, (name, category) in enumerate(self._policy.categories.items()):
            worst = int(scores[:, number].argmax()) if len(said) else 0
            if not len(said) or scores[worst, number] < (category.likeness or self._policy.likeness):
                continue
            nearest = int(
                np.where(self._of == number, self._embeddings[: len(self._of)] @ embeddings[worst], -1).argmax()
            )
            evidence = f"{said[worst]} ≈ {self._policy.phrases[nearest]}"
            score = round(float(scores[worst, number]), 3)
            action = category.action if score >= self._policy.sure_likeness else "flag"
            found.append(Finding(name, action, field, "likeness", evidence, score))
        return found


def learn(policy: Policy, embed: Callable[[list[str]], NDArray[np.float32]], kept: Path) -> Likeness:
    """A policy's :class:`Likeness`, its embeddings taken from a file where they lie there, and kept there if not.

    Args:
        embed: sentences → float32 [sentences, width], unit length; 400 of them take a core two seconds.
        kept: folder of such files; one that cannot be written to costs only those seconds.
    """
    phrases = policy.phrases
    path = kept / f"{hashlib.sha256(json.dumps(phrases).encode()).hexdigest()[:16]}.npy"
    probe = embed(phrases[:1])
    with contextlib.suppress(OSError, ValueError, EOFError):  # absent, or broken
        embeddings = np.load(path)
        if embeddings.shape == (len(phrases), probe.shape[1]) and np.allclose(embeddings[:1], probe, atol=0.01):
            return Likeness(policy, embeddings)  # by the same text encoder
    embeddings = np.concatenate([probe, embed(phrases[1:])])
    with contextlib.suppress(OSError):
        kept.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(f".{os.getpid()}")
        with whole.open("wb") as file:
            np.save(file, embeddings)
        whole.replace(path)
    return Likeness(policy, embeddings)


def comparable(text: str) -> list[str]:
    """The sentences of a text that the text encoder understands; a word alone is judged as a word."""
    return [each.strip() for each in sentences(text) if len(_ENGLISH.findall(each)) > 1][:MAX_SENTENCES]


def readable(data: bytes, field: str) -> str:
    """A field as text: of ATTRIBUTES, which is JSON, names and values as sentences, of LABEL_TEXT the lines.

    A broken one stays as it is; of a label that could not be read, :data:`stages.errors.UNREADABLE`.
    """
    text = data.decode("utf-8", "replace")
    if field == "LABEL_TEXT":
        with contextlib.suppress(StageError):
            label = read_label_text(data)
            return UNREADABLE if label.failed else "\n".join(line.text for line in label.lines)
    if field == "ATTRIBUTES":
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            return ". ".join(f"{name}: {value}" for name, value in json.loads(text).items())
    return text


def unchecked(error: Exception) -> Finding:
    """What stands for a check that failed: nothing appears unseen."""
    return Finding("unchecked", "block", "-", "error", f"{type(error).__name__}: {error}", 1.0)


def action_of(findings: Iterable[Finding]) -> Action:
    """The gravest of them; ``allow`` where there is none."""
    return max((finding.action for finding in findings), key=_ACTIONS.index, default="allow")


def dumps(findings: Sequence[Finding]) -> bytes:
    """The MODERATION tensor: ``{"action": …, "findings": [{"category": …, …}, …]}``."""
    said = {"action": action_of(findings), "findings": [finding._asdict() for finding in findings]}
    return json.dumps(said, ensure_ascii=False).encode("utf-8")


def loads(moderation: bytes) -> list[Finding]:
    """The findings of a MODERATION tensor."""
    return [Finding(**finding) for finding in json.loads(moderation)["findings"]]


def action(moderation: bytes) -> Action:
    """The action of a MODERATION tensor."""
    return action_of(loads(moderation))


def refuse_blocked(moderation: bytes) -> None:
    """For a step whose output must not appear if the policy blocks what it is made of.

    Raises:
        StageError: ``blocked``, on the field of the first finding that blocks, with all reasons.
    """
    if blocking := [finding for finding in loads(moderation) if finding.action == "block"]:
        raise StageError("blocked", blocking[0].field, reason(blocking))


def reason(findings: Iterable[Finding]) -> str:
    """In one sentence, what blocks: for whoever asked for it."""
    said = {"words": "says", "likeness": "reads like", "class": "shows", "error": "could not be checked:"}
    parts = [f"{f.field} {said.get(f.by, f.by)} {f.evidence!r} ({f.category})" for f in findings if f.action == "block"]
    return "; ".join(parts) + "; the shop's policy does not let it appear"


@cache
def _places(classes: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    """Where classes stand among the names of an image encoder's."""
    return [place for place, name in enumerate(names) if name in classes]


@cache
def labels() -> tuple[str, ...]:
    """The first name of each ImageNet class, which a policy may speak of."""
    return tuple(names[1] for names in json.loads(LABELS.read_text("utf-8"))["classes"])


def _even(text: str) -> str:
    """The text as phrases are compared: one case, one blank for what divides words."""
    return re.sub(r"[\s-]+", " ", unicodedata.normalize("NFKC", text)).casefold()


def _any(words: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of some words: as a whole where their script puts spaces between words, in plural too."""
    spaced: list[str] = []
    other: list[str] = []
    for word in sorted(words, key=len, reverse=True):
        bare = r"[\s-]+".join(map(re.escape, re.split(r"[\s-]+", word)))
        (spaced if word[0].isascii() else other).append(bare)
    if spaced:
        other.append(rf"(?<!{_LETTER})(?:{'|'.join(spaced)})(?:e?s)?(?!{_LETTER})")
    return re.compile("|".join(other), re.IGNORECASE) if other else None
