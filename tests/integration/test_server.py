"""The launcher with a real Triton: ready means ready, failures name their mend, and nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from server import Server, ServerFailed, ServerOptions, canary
from server.options import cache_folder
from server.triton import find_triton
from tests.integration.small_models import FLOAT_IO, ONE_CPU, add, add_canary, add_python, double

REPOSITORY = Path(__file__).resolve().parents[2]
FREE = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
FREE_FLAGS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
SLOW = """
import pathlib
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        x = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
        pathlib.Path(__file__).with_name("running").touch()
        time.sleep(float(x[0, 0]))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", 2 * x)])]
"""


@pytest.fixture
def models(tmp_path) -> Path:
    """A repository with an ONNX model, a python one that sleeps as long as it is told, and the canary."""
    root = tmp_path / "models"
    add(root, "double", f"max_batch_size: 8\n{FLOAT_IO}{ONE_CPU}", double())
    add_python(root, "slow", f"max_batch_size: 1\n{FLOAT_IO}{ONE_CPU}", SLOW)
    add_canary(root)
    return root


@pytest.fixture
def prefix() -> Iterator[str]:
    """Beginning of names in /dev/shm and of a log that only this test has; fails the test that leaves a segment."""
    name = f"vitrinatest{os.getpid()}x{time.monotonic_ns()}"
    yield name
    left = segments_of(name)
    for path in left + logs_of(name):
        path.unlink()
    assert not left


def segments_of(prefix: str) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{prefix}*"))


def logs_of(prefix: str) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{prefix}*"))


def processes_of(prefix: str) -> list[psutil.Process]:
    """Living processes that name the prefix: the launcher, tritonserver and its stubs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            named = any(prefix in word for word in process.cmdline())
            if named and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def ports_of(server: Server) -> list[int]:
    return [int(url.rsplit(":", 1)[1]) for url in (server.http_url, server.grpc_url, server.metrics_url)]


def eventually(condition, seconds: float = 60) -> bool:
    """Whether it comes true; waits for what the kernel or another process does in its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def ask(url: str, model: str, x: float) -> np.ndarray:
    with triton_http.InferenceServerClient(url, network_timeout=60, connection_timeout=60) as client:
        tensor = triton_http.InferInput("X", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.array([[x]], np.float32))
        return client.infer(model, [tensor]).as_numpy("Y")


def ask_grpc(url: str, model: str, x: float) -> np.ndarray:
    with triton_grpc.InferenceServerClient(url) as client:
        tensor = triton_grpc.InferInput("X", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.array([[x]], np.float32))
        return client.infer(model, [tensor]).as_numpy("Y")


def test_ready_then_nothing_stays(models, prefix):
    lines: list[str] = []
    server = Server(ServerOptions(model_roots=[models], shm_prefix=prefix, **FREE), on_progress=lines.append)
    with server:
        assert ask(server.http_url, "double", 3) == 6
        with triton_grpc.InferenceServerClient(server.grpc_url) as client:
            assert client.is_server_ready()
            assert all(client.is_model_ready(model) for model in ("double", "slow", "canary"))
        with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as metrics:
            assert b"nv_inference_count" in metrics.read()
        assert "double" in server.log_path.read_text()
        assert psutil.pid_exists(server.pid)
        assert len(processes_of(prefix)) == 4  # tritonserver and a stub a model
        assert segments_of(prefix)
        ports, pid, log = ports_of(server), server.pid, server.log_path
    assert sorted(line.split()[1] for line in lines) == ["canary", "double", "slow"]
    assert lines[-1].startswith("[3/3] ")
    assert not psutil.pid_exists(pid)
    assert not processes_of(prefix)
    assert not segments_of(prefix)
    assert all(is_free(port) for port in ports)
    assert not log.exists()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid


def test_starts_again_and_from_a_passing_thread(models, prefix):
    options = ServerOptions(model_roots=[models], models=["double"], host="localhost", shm_prefix=prefix, **FREE)
    server = Server(options)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.start).result()
    try:  # it does not end with the thread that started it
        assert ask(server.http_url, "double", 1) == 2
    finally:
        server.stop()
    with server:
        assert ask(server.http_url, "double", 1) == 2


def test_two_servers_side_by_side(models, prefix):
    options = ServerOptions(model_roots=[models], models=["double"], shm_prefix=prefix, **FREE)
    with Server(options) as one:
        with Server(options) as two:
            assert not set(ports_of(one)) & set(ports_of(two))
        assert ask(one.http_url, "double", 2) == 4  # the other's clean-up took nothing of this one


def test_loads_only_what_is_asked_and_the_steps_of_an_ensemble(models, tmp_path):
    ensembles = tmp_path / "ensembles"
    (ensembles / "twice" / "1").mkdir(parents=True)
    maps = 'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }'
    step = f'step {{ model_name: "double" model_version: -1 {maps} }}'
    config = f'platform: "ensemble"\nmax_batch_size: 8\n{FLOAT_IO}ensemble_scheduling {{ {step} }}'
    (ensembles / "twice" / "config.pbtxt").write_text(config)
    with Server(ServerOptions(model_roots=[models, ensembles], models=["twice"], **FREE)) as server:
        assert sorted(server.models) == ["canary", "double", "twice"]
        assert ask(server.http_url, "twice", 4) == 8
        with pytest.raises(InferenceServerException, match="unknown model"):
            ask(server.http_url, "slow", 0)


def test_config_name_picks_the_variant(models):
    (models / "double" / "configs").mkdir()
    variant = f'backend: "onnxruntime"\nmax_batch_size: 3\n{FLOAT_IO}{ONE_CPU}'
    (models / "double" / "configs" / "small.pbtxt").write_text(variant)
    options = ServerOptions(model_roots=[models], models=["double"], config_name="small", **FREE)
    with Server(options) as server, triton_http.InferenceServerClient(server.http_url) as client:
        assert client.get_model_config("double")["max_batch_size"] == 3


def pending(metrics_url: str) -> int:
    """Requests to `slow` that wait for the one that runs."""
    with urllib.request.urlopen(f"http://{metrics_url}/metrics") as metrics:
        found = re.search(r'nv_inference_pending_request_count{model="slow"[^}]*} (\d+)', metrics.read().decode())
    return int(found[1]) if found else 0


class InFlight:
    """Three requests of a second to `slow`: one runs, two wait, by the time that this is made."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.pool = ThreadPoolExecutor(3)
        calls = [(ask, urls["http"]), (ask_grpc, urls["grpc"]), (ask_grpc, urls["grpc"])]
        self.answers = [self.pool.submit(call, url, "slow", 1) for call, url in calls]
        assert eventually(lambda: pending(urls["metrics"]) == 2)

    def values(self) -> list[float]:
        return [answer.result(60).item() for answer in self.answers]


def test_requests_in_flight_are_answered_before_it_stops(models, prefix):
    with Server(ServerOptions(model_roots=[models], shm_prefix=prefix, **FREE)) as server:
        requests = InFlight({"http": server.http_url, "grpc": server.grpc_url, "metrics": server.metrics_url})
    assert requests.values() == [2, 2, 2]
    assert not processes_of(prefix)


def test_one_that_does_not_end_in_time_is_cut_off(models, prefix):
    server = Server(ServerOptions(model_roots=[models], exit_timeout_s=1, shm_prefix=prefix, **FREE))
    server.start()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, server.http_url, "slow", 50)
        assert eventually(lambda: running(server))
        server.stop()
        assert not processes_of(prefix)
        assert waiting.exception(60) is not None


def running(server: Server) -> bool:
    """Whether `slow` is at work: its marker is there."""
    return any(Path(root).joinpath("slow", "1", "running").exists() for root in server.options.model_roots)


class Launched:
    """`python -m server` as a process."""

    def __init__(self, *flags: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server", *flags],
            cwd=REPOSITORY,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def __enter__(self) -> Launched:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.finish()

    def wait_until_ready(self) -> dict[str, str]:
        """Purpose → HOST:PORT, from the line that says ready."""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("ready"):
                return dict(re.findall(r"(http|grpc|metrics) ([\d.]+:\d+)", line))
        raise AssertionError(self.said)

    def finish(self) -> int:
        """Waits for its end; its exit code."""
        if not self.process.stdout.closed:
            self.said += self.process.stdout.read()
            self.process.stdout.close()
        return self.process.wait(120)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_command_drains_on_a_signal(models, prefix, how):
    with Launched("--model-root", str(models), "--shm-prefix", prefix, *FREE_FLAGS) as launched:
        urls = launched.wait_until_ready()
        requests = InFlight(urls)
        launched.process.send_signal(how)
        assert requests.values() == [2, 2, 2]
        assert launched.finish() == 0
        assert "[3/3]" in launched.said
        assert launched.said.rstrip().endswith("stopped")
    assert not processes_of(prefix)
    assert all(is_free(int(url.split(":")[1])) for url in urls.values())


def test_killed_launcher_takes_triton_along_in_order(models, prefix):
    with Launched("--model-root", str(models), "--shm-prefix", prefix, *FREE_FLAGS) as launched:
        urls = launched.wait_until_ready()
        requests = InFlight(urls)
        launched.process.kill()
        assert requests.values() == [2, 2, 2]
    assert eventually(lambda: not processes_of(prefix))
    assert not segments_of(prefix)
    assert all(is_free(int(url.split(":")[1])) for url in urls.values())


def test_next_start_removes_what_killed_processes_left(models, prefix):
    options = ServerOptions(model_roots=[models], models=["double"], shm_prefix=prefix, **FREE)
    with (
        Server(options) as beside,
        Launched("--model-root", str(models), "--shm-prefix", prefix, *FREE_FLAGS) as killed,
    ):
        killed.wait_until_ready()
        living = set(segments_of(prefix))
        mine = {process.pid for process in psutil.Process(beside.pid).children()} | {beside.pid}
        for process in processes_of(prefix):
            if process.pid not in mine:
                process.kill()
        assert eventually(lambda: {process.pid for process in processes_of(prefix)} == mine)
        left = set(segments_of(prefix))
        assert left == living
        assert len(logs_of(prefix)) == 2
        with Server(options) as after:
            assert set(logs_of(prefix)) == {beside.log_path, after.log_path}
            assert ask(after.http_url, "double", 1) == 2
            assert ask(beside.http_url, "double", 1) == 2
        assert len(segments_of(prefix)) == 2  # those of the server that goes on: `double` and the canary


def triton_of(prefix: str) -> psutil.Process:
    return next(process for process in processes_of(prefix) if "tritonserver" in process.cmdline()[0])


def stub_of(prefix: str) -> psutil.Process:
    return next(process for process in processes_of(prefix) if "/double/" in process.cmdline()[1])


@pytest.mark.parametrize(
    ("victim", "why"),
    [(triton_of, "tritonserver was killed by SIGKILL.\n"), (stub_of, "The process of double died")],
)
def test_what_dies_is_started_again_on_its_ports_but_not_twice_at_once(models, prefix, victim, why):
    with Launched("--model-root", str(models), "--shm-prefix", prefix, *FREE_FLAGS) as launched:
        urls = launched.wait_until_ready()
        victim(prefix).kill()
        assert launched.wait_until_ready() == urls
        assert why in launched.said
        assert ask(urls["http"], "double", 1) == 2
        assert len(segments_of(prefix)) == 3  # what the dead one had is gone
        victim(prefix).kill()
        assert launched.finish() == 1
        assert launched.said.count(why) == 2
    assert not processes_of(prefix)
    assert not segments_of(prefix)


def test_flags_come_from_the_environment_too(models, tmp_path, prefix):
    more = tmp_path / "more"
    add(more, "other", f"max_batch_size: 8\n{FLOAT_IO}{ONE_CPU}", double())
    environment = {
        "VITRINA_MODEL_ROOTS": f"{models}{os.pathsep}{more}",
        "VITRINA_MODELS": "double other",
        "VITRINA_SHM_PREFIX": prefix,
        "VITRINA_LOG_FILE": str(tmp_path / "kept.log"),
        "VITRINA_HTTP_PORT": "1",
        "VITRINA_GRPC_PORT": "0",
        "VITRINA_METRICS_PORT": "0",
    }
    with Launched("--http-port", "0", **environment) as launched:
        urls = launched.wait_until_ready()
        assert ask(urls["http"], "other", 1) == 2
        with pytest.raises(InferenceServerException, match="unknown model"):
            ask(urls["http"], "slow", 0)
        launched.process.terminate()
        assert launched.finish() == 0
    assert "successfully loaded 'other'" in (tmp_path / "kept.log").read_text()


def fails(*roots: Path, **options) -> ServerFailed:
    with pytest.raises(ServerFailed) as failed:
        Server(ServerOptions(model_roots=roots, **{**FREE, **options})).start()
    return failed.value


def test_taken_port_names_who_has_it(models, prefix):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = fails(models, http_port=port, shm_prefix=prefix)
    assert f"http port {port}" in failed.reason
    assert f"(pid {os.getpid()})" in failed.reason
    assert "--http-port 0" in failed.mend


def test_missing_weight_names_the_file_and_the_command(models):
    (models / "double" / "1" / "model.onnx").unlink()
    failed = fails(models)
    assert str(models / "double" / "1" / "model.onnx") in failed.reason
    assert "make demo" in failed.mend
    assert "python -m export" in failed.mend
    assert not failed.log  # said before Triton was started


def test_command_says_what_is_missing_without_a_stack(models, tmp_path):
    with Launched("--model-root", str(tmp_path / "nowhere"), *FREE_FLAGS) as launched:
        assert launched.finish() == 1
        assert f"Model root {tmp_path / 'nowhere'} is no folder." in launched.said
        assert "--model-root" in launched.said
        assert "Traceback" not in launched.said


def test_log_that_cannot_be_written(models, tmp_path, prefix):
    failed = fails(models, models=["double"], log_path=tmp_path / "no" / "folder.log", shm_prefix=prefix)
    assert "folder.log" in failed.reason
    assert not processes_of(prefix)


def test_python_model_that_raises_is_quoted(models, prefix):
    code = "class TritonPythonModel:\n    def initialize(self, args):\n        open('/no/such/weights')\n"
    add_python(models, "broken", f"max_batch_size: 1\n{FLOAT_IO}{ONE_CPU}", code)
    failed = fails(models, models=["broken"], shm_prefix=prefix)
    assert (
        "broken: Internal: FileNotFoundError: [Errno 2] No such file or directory: '/no/such/weights'" in failed.reason
    )
    assert "make demo" in failed.mend
    assert "/no/such/weights" in failed.log_path.read_text()
    assert not processes_of(prefix)


def test_one_that_is_never_ready_is_given_up(models, prefix):
    code = "import time\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(600)\n"
    add_python(models, "sleeper", f"max_batch_size: 1\n{FLOAT_IO}{ONE_CPU}", code)
    failed = fails(models, models=["double", "sleeper"], start_timeout_s=8, exit_timeout_s=1, shm_prefix=prefix)
    assert "sleeper" in failed.reason
    assert "--start-timeout" in failed.mend
    assert not processes_of(prefix)


@pytest.fixture(scope="session")
def python_with_numpy_2() -> Path:
    """The interpreter of an environment that is this one, but with numpy 2; kept in the cache."""
    folder = cache_folder() / "tests" / "python-with-numpy-2.2.6"
    if not folder.is_dir():
        building = folder.with_name(f"{folder.name}.{os.getpid()}")
        venv.create(building, symlinks=True)
        packages = next(building.glob("lib/python*/site-packages"))
        (packages / "all_others.pth").write_text(sysconfig.get_paths()["purelib"])
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
        subprocess.run([*install, "numpy==2.2.6"], check=True, timeout=300)
        building.rename(folder)
    return folder / "bin" / "python3"


def test_numpy_2_is_refused_before_anything_starts(models, python_with_numpy_2, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(python_with_numpy_2))
    failed = fails(models)
    assert "numpy 2.2.6" in failed.reason
    assert "numpy<2" in failed.mend
    assert not failed.log


def test_canary_finds_what_numpy_2_corrupts(models, python_with_numpy_2, monkeypatch, prefix):
    monkeypatch.setattr(sys, "executable", str(python_with_numpy_2))
    monkeypatch.setattr(canary, "check_numpy", lambda environment: None)
    failed = fails(models, models=["canary"], exit_timeout_s=1, shm_prefix=prefix)
    assert "canary" in failed.reason
    assert "numpy of the models: 2.2.6" in failed.reason
    assert "numpy<2" in failed.mend
    assert not processes_of(prefix)


def test_canary_finds_a_single_wrong_bit(models, prefix):
    model = models / "canary" / "1" / "model.py"
    wrong = "np.array(values, dtype=DTYPES[name])"
    assert wrong in model.read_text()
    model.write_text(model.read_text().replace(wrong, f"-0.0 * {wrong} if name == 'FLOATS' else {wrong}"))
    assert "FLOATS" in fails(models, models=["canary"], shm_prefix=prefix).reason


def test_triton_on_path_is_taken_and_lacks_only_our_backend(models, tmp_path, prefix, monkeypatch):
    """A whole installation as in NVIDIA's container, made of the wheel's parts, without a native onnxruntime."""
    wheel = find_triton()
    assert wheel.from_wheel
    home = tmp_path / "tritonserver"
    shutil.copytree(wheel.backends / "python", home / "backends" / "python")
    shutil.copytree(wheel.caches, home / "caches")
    (home / "bin").mkdir()
    script = f'#!/bin/sh\nLD_LIBRARY_PATH={wheel.libraries} exec {wheel.binary} "$@"\n'
    (home / "bin" / "tritonserver").write_text(script)
    (home / "bin" / "tritonserver").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert not find_triton().from_wheel
    with Server(ServerOptions(model_roots=[models], shm_prefix=prefix, **FREE)) as server:
        assert ask(server.http_url, "double", 2) == 4
        assert ask(server.http_url, "slow", 0) == 0
    assert (find_triton().backends / "python").resolve() == home / "backends" / "python"
