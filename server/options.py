"""What a server is told: every field has a flag and a VITRINA_* environment variable of `python -m server`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_ROOTS = (REPOSITORY / "model_repository" / "models", REPOSITORY / "model_repository" / "ensembles")
#: A shop's voice, as its file has it.
BRAND = '{style: "Short and warm.", words: [cosy], never: [cheap]}'
LogLevel = Literal["error", "warning", "info", "verbose"]


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to run one Triton.

    Args:
        model_roots: folders given to ``--model-repository``, each holding one folder a model.
        models: names to load, with what their ensembles need; None loads all.
        policy: of the content check, as stages/policy.yaml explains; None for that one itself.
        taxonomy: categories of listings, as stages/taxonomy.yaml explains them; None for that one itself.
        brand: the shop's voice, as stages/brand.py explains it; None for none.
        config_name: hardware variant; ``MODEL/configs/NAME.pbtxt`` is used where there is one.
        host: address to listen on; ``0.0.0.0`` for every interface.
        http_port, grpc_port, metrics_port: 0 picks a free one.
        log_level: from which level on Triton's log lines are passed on; the log file has all of them.
        log_path: where to write the log; None for a temporary file that a clean stop removes.
        shm_prefix: beginning of the names of this server's segments in /dev/shm.
        start_timeout_s: seconds until every model must be ready.
        exit_timeout_s: seconds that requests in flight are given to end when the server stops.
    """

    model_roots: Sequence[Path | str] = DEFAULT_ROOTS
    models: Sequence[str] | None = None
    policy: Path | None = None
    taxonomy: Path | None = None
    brand: Path | None = None
    config_name: str | None = None
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    log_level: LogLevel = "warning"
    log_path: Path | None = None
    shm_prefix: str = "vitrina"
    start_timeout_s: float = 300.0
    exit_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.model_roots:
            raise ValueError("model_roots is empty; give at least one folder of models")
        for name in ("http_port", "grpc_port", "metrics_port"):
            port = getattr(self, name)
            if not 0 <= port <= 65535:
                raise ValueError(f"{name} {port} is no port; give 0 (a free one) to 65535")
        for name, like in {"policy": "stages/policy.yaml", "taxonomy": "stages/taxonomy.yaml", "brand": BRAND}.items():
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name} {str(path)!r} is no file; give one like {like}")
        if "/" in self.shm_prefix or not self.shm_prefix:
            raise ValueError(f"shm_prefix {self.shm_prefix!r} is no file name; give letters and digits")
        for name in ("start_timeout_s", "exit_timeout_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)} is not positive; give seconds above 0")


def cache_folder() -> Path:
    """The folder for what can be rebuilt: VITRINA_CACHE, else the user's cache."""
    return Path(os.environ.get("VITRINA_CACHE") or Path.home() / ".cache" / "vitrina")
