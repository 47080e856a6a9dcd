"""Reads the model repositories before Triton does, so that what is missing is said plainly and with its mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from server.errors import ServerFailed

BUILD_WEIGHTS = "run `make demo`, or `python -m export`, which builds the weights of every model"
#: What a backend opens in a version's folder when its configuration names no file.
DEFAULT_FILE = {"onnxruntime": "model.onnx", "tensorrt": "model.plan", "python": "model.py"}


@dataclass(frozen=True)
class Model:
    """One model of a repository, with the configuration that Triton will read (empty where it has no file)."""

    name: str
    folder: Path
    config: ModelConfig

    def steps(self) -> list[str]:
        """The models that an ensemble runs, or that a python model says that it calls by itself."""
        called = self.config.parameters["calls"].string_value if "calls" in self.config.parameters else ""
        return [step.model_name for step in self.config.ensemble_scheduling.step] + [n for n in called.split(",") if n]

    def is_complete(self) -> bool:
        """Whether Triton need not fill in the configuration, which costs the start of one more stub a model."""
        config = self.config
        if config.HasField("ensemble_scheduling"):
            return True
        completes_itself = any("auto_complete_config" in code.read_text() for code in self.folder.glob("*/model.py"))
        return bool(config.backend and config.input and config.output) and not completes_itself

    def missing_files(self) -> list[Path]:
        """The files that the backend will look for and not find; empty for ensembles and unknown backends."""
        names = set(self.config.cc_model_filenames.values())
        default = self.config.default_model_filename or DEFAULT_FILE.get(self.config.backend)
        names |= {default} if default else set()
        versions = [child for child in self.folder.iterdir() if child.is_dir() and child.name.isdigit()]
        if not versions:
            return [self.folder / "1"]
        # A compute capability has its own file; the default one then need not be there.
        optional = {default} if self.config.cc_model_filenames else set()
        newest = max(versions, key=lambda version: int(version.name))
        return [newest / name for name in sorted(names - optional) if not (newest / name).exists()]


def read_models(roots: Sequence[Path], config_name: str | None) -> dict[str, Model]:
    """Every model of the roots by name.

    Raises:
        ServerFailed: a root is no folder or holds no model, two roots hold one name, a configuration does not parse.
    """
    models: dict[str, Model] = {}
    for root in roots:
        if not root.is_dir():
            raise ServerFailed(f"Model root {root} is no folder.", "give the right folder with --model-root")
        for folder in sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith(".")):
            if folder.name in models:
                raise ServerFailed(
                    f"Model {folder.name!r} is in two roots: {models[folder.name].folder} and {folder}.",
                    "rename or remove one of them; Triton would serve neither",
                )
            models[folder.name] = Model(folder.name, folder, _read_config(folder, config_name))
    if not models:
        raise ServerFailed(f"No model in {', '.join(map(str, roots))}.", BUILD_WEIGHTS)
    return models


def select(models: dict[str, Model], wanted: Sequence[str] | None) -> dict[str, Model]:
    """The wanted models and, through ensembles, those that they need; None wants all.

    Raises:
        ServerFailed: a wanted model, or a step of an ensemble, is not in the roots.
    """
    selected: dict[str, Model] = {}
    queue = list(models if wanted is None else wanted)
    asked_by: dict[str, str] = {}
    while queue:
        name = queue.pop()
        if name in selected:
            continue
        if name not in models:
            by = f"needed by {asked_by[name]!r}" if name in asked_by else "asked for"
            raise ServerFailed(f"Model {name!r} ({by}) is in no model root.", _nearest(name, models))
        selected[name] = models[name]
        for step in models[name].steps():
            asked_by.setdefault(step, name)
            queue.append(step)
    return {name: selected[name] for name in models if name in selected}


def check_files(models: Iterable[Model]) -> None:
    """Every model has the files that its backend opens.

    Raises:
        ServerFailed: names every missing file, and the command that builds them.
    """
    missing = [(model.name, path) for model in models for path in model.missing_files()]
    if missing:
        lines = "".join(f"\n  {name}: {path}" for name, path in missing)
        raise ServerFailed(f"{len(missing)} file(s) that the models need are not there:{lines}", BUILD_WEIGHTS)


def _read_config(folder: Path, config_name: str | None) -> ModelConfig:
    """The configuration that Triton takes: ``configs/NAME.pbtxt`` where there is one, else ``config.pbtxt``."""
    path = folder / "config.pbtxt"
    if config_name and (folder / "configs" / f"{config_name}.pbtxt").is_file():
        path = folder / "configs" / f"{config_name}.pbtxt"
    config = ModelConfig()
    if path.is_file():
        try:
            text_format.Parse(path.read_text(encoding="utf-8"), config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ServerFailed(
                f"{path} does not parse: {error}", "mend the line, or generate it anew with `python -m export`"
            ) from error
    return config


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"the roots hold {', '.join(sorted(known))}"
