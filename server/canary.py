"""Sends the canary model numbers and words and compares every byte that comes back.

The python stub of the PyPI Triton is built against numpy 1: with numpy 2 it hands models arrays whose strides are
wrong (``[1, 2, 3, 4]`` is read as ``[1, 1, 1, 1]``) and answers 200. Such a server must not serve.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tritonclient.http as triton_http
from numpy.typing import NDArray

from server.errors import ServerFailed

MODEL = "canary"
MEND = "install the locked environment anew (`make demo` does), or `python -m pip install 'numpy<2'`"


def check_numpy(environment: Mapping[str, str]) -> None:
    """Refuses a numpy that the wheel's stub cannot work with, before anything is started.

    Raises:
        ServerFailed: numpy is missing or its version is 2 or higher.
    """
    version = stub_numpy(environment)
    if version is None:
        raise ServerFailed("The Python that runs the models has no numpy.", MEND)
    if int(version.split(".")[0]) >= 2:
        raise ServerFailed(f"The Python that runs the models has numpy {version}: Triton would corrupt tensors.", MEND)


def stub_numpy(environment: Mapping[str, str]) -> str | None:
    """The version of numpy that the stubs will import, None if they find none.

    Isolated (-I), as the Python inside the stub is: it takes neither PYTHONPATH nor the user's own packages.
    """
    command = [sys.executable, "-I", "-c", "import numpy; print(numpy.__version__)"]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=120)
    return done.stdout.strip() if done.returncode == 0 else None


def check_tensors(url: str, environment: Mapping[str, str], timeout_s: float = 30.0) -> None:
    """Runs every case through the served canary.

    Raises:
        ServerFailed: an answer is not what was sent, or none came; names numpy's version and the mend.
    """
    with triton_http.InferenceServerClient(url, network_timeout=timeout_s, connection_timeout=timeout_s) as client:
        for case in cases():
            try:
                answers = _ask(client, case)
            except Exception as error:  # whatever the client raises, the canary is dead
                raise _refused(f"it failed on {_shapes(case)}: {str(error).rstrip('.')}", environment) from error
            for name, sent in case.items():
                if not same(sent, answers[name]):
                    raise _refused(f"it got {name} {sent[:4]!r}… and gave back {answers[name]!r}", environment)


def cases() -> Iterator[dict[str, NDArray[Any]]]:
    """INTS int64 [n], FLOATS float32 [n], WORDS bytes [n]: empty, single, odd and longer than a page."""
    random = np.random.default_rng(0)
    for length in (1, 4, 7, 1500):
        ints = random.integers(-(2**63), 2**63 - 1, length)
        floats = random.standard_normal(length).astype(np.float32)
        floats[: length // 3] = np.resize([np.inf, -np.inf, np.nan, -0.0, 1e-45], length // 3)
        words = [random.bytes(int(size)) for size in random.integers(0, 40, length)]
        words[0] = "咖啡 ☕".encode()
        yield {"INTS": ints, "FLOATS": floats, "WORDS": np.array(words, dtype=object)}


def same(sent: NDArray[Any], got: NDArray[Any] | None) -> bool:
    """Whether every element is, bit for bit, what was sent."""
    if got is None or got.shape != sent.shape or got.dtype != sent.dtype:
        return False
    return got.tolist() == sent.tolist() if sent.dtype == object else got.tobytes() == sent.tobytes()


def _ask(client: triton_http.InferenceServerClient, case: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any] | None]:
    inputs = []
    for name, array in case.items():
        kind = {"INTS": "INT64", "FLOATS": "FP32", "WORDS": "BYTES"}[name]
        tensor = triton_http.InferInput(name, list(array.shape), kind)
        inputs.append(tensor.set_data_from_numpy(array))
    outputs = [triton_http.InferRequestedOutput(f"{name}_ECHO") for name in case]
    result = client.infer(MODEL, inputs, outputs=outputs)
    return {name: result.as_numpy(f"{name}_ECHO") for name in case}


def _shapes(case: dict[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name}{list(array.shape)}" for name, array in case.items())


def _refused(what: str, environment: Mapping[str, str]) -> ServerFailed:
    version = stub_numpy(environment) or "missing"
    return ServerFailed(f"The canary model does not sing: {what}. numpy of the models: {version}.", MEND)
