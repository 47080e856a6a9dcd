"""Families: the kinds of checkpoint that may fill a slot, and how each is read.

A slot has a module here, or a package with a module for each of its families; `common` is what they share.

A module gives:

* ``facts(checkpoint, slot)``: the checkpoint's sizes and space, which size the graph. Its key ``takes`` holds the facts
  that other slots must have, ``{"fusion.width": 384}``. A slot that no other part depends on defines no `facts`.
* ``load`` and ``sample`` (see `export.onnx`) for a single-pass network, or ``build`` for what needs more, perhaps
  ``parity``. `sample` is given the facts among its sizes.
* ``accepts(checkpoint, slot)`` and ``ACCEPTS``, which says it in words, where it is one family of several.
* ``sidecars``, which writes the files that go beside; ``PRECISIONS``, where it builds others than fp32.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from zipfile import BadZipFile

from safetensors import SafetensorError

from families.common.slot import BuildError, Slot
from stages.moderation import LABELS

#: What reading a checkpoint raises that is cut off or inconsistent.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, BadZipFile, SafetensorError)
#: Slot → others whose exports its `build` is given as ``{slot: folder}``, whichever its family.
NEEDS = {"tagger": ("text_encoder",), "item_index": ("text_encoder",)}
#: Slot → files of this repository that its export reads.
READS = dict.fromkeys(("image_encoder", "video_encoder"), (LABELS,))


def modules(name: str) -> list[str]:
    """The modules that may fill a slot."""
    module = importlib.util.find_spec(f"{__name__}.{name}")
    if module is None:
        raise KeyError(f"no slot {name!r}")
    if module.submodule_search_locations is None:
        return [f"{__name__}.{name}"]
    found = pkgutil.iter_modules(module.submodule_search_locations)
    return [f"{__name__}.{name}.{each.name}" for each in found]


def has_facts(name: str) -> bool:
    """Whether a slot's checkpoint says what something else has to know."""
    files = (Path(__file__).parent.parent / f"{each.replace('.', '/')}.py" for each in modules(name))
    return any("\ndef facts(" in file.read_text() for file in files)


def choose(name: str, checkpoint: Path, slot: Slot) -> ModuleType:
    """The module that fills a slot from a checkpoint.

    Raises:
        BuildError: none accepts it; the message has what each accepts.
    """
    known = [importlib.import_module(each) for each in modules(name)]
    if len(known) == 1:
        return known[0]
    for module in known:
        if module.accepts(checkpoint, slot):
            return module
    taken = "; ".join(f"{module.__name__.rsplit('.', 1)[1]}: {module.ACCEPTS}" for module in known)
    raise BuildError(f"{name}: no family takes {checkpoint}; known are {taken}")
