"""Finds tritonserver and puts together the backend folder that it needs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from server.errors import ServerFailed
from server.options import REPOSITORY, cache_folder

WHEEL = "nvidia-pytriton"
OUR_BACKEND = Path(__file__).resolve().parent / "backends" / "onnxruntime"


@dataclass(frozen=True)
class Triton:
    """A tritonserver that can be started.

    Args:
        binary: the executable.
        backends: folder for ``--backend-directory``.
        caches: folder for ``--cache-directory``.
        libraries: folder that LD_LIBRARY_PATH must name, or None.
        from_wheel: whether it is the PyPI wheel's, whose python stub needs numpy < 2.
    """

    binary: Path
    backends: Path
    caches: Path
    libraries: Path | None
    from_wheel: bool

    def environment(self) -> dict[str, str]:
        """The environment of tritonserver and of its python stubs."""
        env = dict(os.environ)
        # The stub asks the first `python3` of PATH for its prefix: this Python's, or it takes another one's numpy.
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
        # The stub of Triton 24.10 looks into its working folder (see Process) and at no PYTHONPATH; later ones do.
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), env.get("PYTHONPATH")]))
        env["ORT_DISABLE_TELEMETRY"] = "1"
        env.setdefault("PYTHONUNBUFFERED", "1")
        if self.libraries is not None:
            env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [str(self.libraries), env.get("LD_LIBRARY_PATH")]))
        return env


def find_triton() -> Triton:
    """The tritonserver of PATH with its native backends, else the one in the PyPI wheel.

    Raises:
        ServerFailed: neither is there, or the wheel has no stub for this Python.
    """
    on_path = shutil.which("tritonserver")
    return _native(Path(on_path).resolve()) if on_path else _wheel()


def _native(binary: Path) -> Triton:
    """A whole installation, as in NVIDIA's container: its own backends, ours added only for the one it lacks."""
    home = binary.parent.parent
    backends = home / "backends"
    if not backends.is_dir():
        raise ServerFailed(
            f"{binary} has no backends beside it: {backends} is no folder.",
            "take another tritonserver from PATH, or none, so that the one in the nvidia-pytriton wheel is used",
        )
    if not (backends / "onnxruntime").is_dir():
        links = {backend.name: backend for backend in backends.iterdir()}
        backends = _assembled(f"native {binary}", _our_backend(), links)
    return Triton(binary=binary, backends=backends, caches=home / "caches", libraries=None, from_wheel=False)


def _wheel() -> Triton:
    """The Triton inside nvidia-pytriton, put together as Triton wants it; the wheel may lack the exec bits."""
    spec = importlib.util.find_spec("pytriton")  # found, not imported: importing it would load its own server code
    if spec is None or spec.origin is None:
        raise ServerFailed(
            "No tritonserver: none on PATH, and the Python package nvidia-pytriton is not installed.",
            f"install the locked environment (`make demo` does), or `{sys.executable} -m pip install nvidia-pytriton`",
        )
    package = Path(spec.origin).parent
    home = package / "tritonserver"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.is_file():
        has = ", ".join(sorted(folder.name for folder in stub.parent.parent.iterdir()))
        raise ServerFailed(f"The Triton wheel has no python stub for Python {python}.", f"run it with Python {has}")
    files = {f"python/{path.name}": path for path in (home / "backends" / "python").iterdir() if path.is_file()}
    files |= {"python/triton_python_backend_stub": stub, "bin/tritonserver": home / "bin" / "tritonserver"}
    folder = _assembled(f"{WHEEL} {importlib.metadata.version(WHEEL)} {package} {python}", files | _our_backend())
    return Triton(
        binary=folder / "bin" / "tritonserver",
        backends=folder,
        caches=home / "caches",
        libraries=package.parent / "nvidia_pytriton.libs",
        from_wheel=True,
    )


def _our_backend() -> dict[str, Path]:
    return {f"onnxruntime/{path.name}": path for path in OUR_BACKEND.glob("*.py")}


def _assembled(identity: str, files: dict[str, Path], links: dict[str, Path] | None = None) -> Path:
    """A folder of the cache with copies of these files, executable; made once an identity, whole or not at all.

    Copies, because Triton refuses a backend library that is a link out of its folder.
    """
    digest = hashlib.sha256(f"{identity} {sorted((links or {}).items())}".encode())
    for name, path in sorted(files.items()):
        ours = path.read_bytes() if path.is_relative_to(OUR_BACKEND) else b""
        digest.update(f"{name} {path} {path.stat().st_size}".encode() + ours)
    folder = cache_folder() / "triton" / digest.hexdigest()[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    try:
        for name, path in (links or {}).items():
            (building / name).symlink_to(path)
        for name, path in files.items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, building / name)
            (building / name).chmod(0o755)
        building.chmod(0o755)
        building.rename(folder)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        if not folder.is_dir():  # another process was quicker: its folder is as good
            raise
    return folder
