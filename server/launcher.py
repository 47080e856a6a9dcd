"""A whole Triton as a value: started, checked, ready; stopped without a trace."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from server import canary, leftovers
from server.errors import ServerFailed
from server.log import Loading, passes
from server.options import ServerOptions, cache_folder
from server.ports import Ports
from server.process import Process
from server.repository import BUILD_WEIGHTS, Model, check_files, read_models, select
from server.triton import Triton, find_triton

WATCH_S = 2.0  # between two looks at the models' processes
GRACE_S = 15.0  # what tritonserver may take beyond its exit timeout, to unload its models
SHM_GROWTH_BYTES = 4 * 1024 * 1024  # a stub's segment starts at Triton's 1 MB; a batch of photos then needs one step


class Server:
    """Triton with the models of some roots; ready when :meth:`start` returns.

        with Server(ServerOptions(http_port=0, grpc_port=0, metrics_port=0)) as server:
            client = tritonclient.grpc.InferenceServerClient(server.grpc_url)

    Args:
        options: see :class:`ServerOptions`.
        on_progress: called with a line for people, as models get ready; from another thread.
        on_log: called with those lines of Triton's log that are of the level of the options or graver.

    Raises:
        ServerFailed: on start, with the reason, the mend and the end of the log.
    """

    def __init__(
        self,
        options: ServerOptions | None = None,
        *,
        on_progress: Callable[[str], None] = lambda line: None,
        on_log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.options = options or ServerOptions()
        self._on_progress = on_progress
        self._on_log = on_log
        self._process: Process | None = None
        self._ports: Ports | None = None
        self._prefix = ""
        self._loading = Loading()
        self._expected: dict[str, Model] = {}
        self._stubs: dict[int, str] = {}
        self._ready = False

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def http_url(self) -> str:
        """HOST:PORT of the HTTP endpoint."""
        return self._url("http")

    @property
    def grpc_url(self) -> str:
        """HOST:PORT of the gRPC endpoint."""
        return self._url("grpc")

    @property
    def metrics_url(self) -> str:
        """HOST:PORT of the Prometheus metrics, which lie under /metrics."""
        return self._url("metrics")

    @property
    def pid(self) -> int:
        """The process of tritonserver."""
        if self._process is None:
            raise RuntimeError("the server is not running; start() it first")
        return self._process.pid

    @property
    def models(self) -> list[str]:
        """The models that are served."""
        return list(self._expected)

    def start(self) -> None:
        """Checks, starts, waits until every model is ready and the canary sings.

        After :meth:`stop` it may be called again, and takes the ports that it had.

        Raises:
            ServerFailed: nothing is left running then.
        """
        if self._process is not None:
            raise RuntimeError("the server is running already")
        options = self.options
        roots = [Path(root).resolve() for root in options.model_roots]
        models = read_models(roots, options.config_name)
        wanted = options.models
        if wanted is not None and canary.MODEL in models:
            wanted = [*wanted, canary.MODEL]
        self._expected = select(models, wanted)
        check_files(self._expected.values())
        triton = find_triton()
        environment = triton.environment()
        for name in ("policy", "taxonomy", "brand"):
            if (path := getattr(options, name)) is not None:
                environment[f"VITRINA_{name.upper()}"] = str(path.resolve())
        if triton.from_wheel:
            canary.check_numpy(environment)
        leftovers.remove_stale(options.shm_prefix)
        self._prefix = leftovers.unique_prefix(options.shm_prefix)
        self.log_path = Path(options.log_path or leftovers.log_path(self._prefix))
        self._loading = Loading()
        given = {"http": options.http_port, "grpc": options.grpc_port, "metrics": options.metrics_port}
        self._ports = Ports(options.host, self._ports.number if self._ports else given)
        try:
            self._process = Process(self._command(triton, roots), environment, self.log_path, self._read)
            self._start_process()
            self._wait_until_ready()
            if canary.MODEL in self._expected:
                canary.check_tensors(self.http_url, environment)
            self._stubs = self._process.stubs()
            self._loading.errors.clear()  # they did not keep it from being ready, and explain no later end
            self._ready = True
        except BaseException:
            self.stop()
            raise
        finally:
            self._ports.release()

    def stop(self) -> bool:
        """Lets requests in flight end, then leaves no process, port or segment; harmless if nothing runs.

        Returns:
            Whether Triton drained and exited by itself in time.
        """
        process, self._process, self._ready = self._process, None, False
        in_time = True
        if process is not None:
            in_time = process.stop(self.options.exit_timeout_s + GRACE_S)
        if self._ports is not None:
            self._ports.release()
        if self._prefix:
            leftovers.remove(self._prefix)
        return in_time

    def wait(self) -> ServerFailed:
        """Waits until Triton, or the process of one of its models, ends without having been asked to; why it did.

        Triton 24.10 does not start a python stub anew: it stays ready, and fails each request to that model.
        """
        if self._process is None:
            raise RuntimeError("the server is not running; start() it first")
        process = self._process
        stubs: dict[int, str] = self._stubs
        suspects: set[int] = set()
        while (code := process.wait(WATCH_S)) is None:
            dead = process.dead_children()
            # Twice in a row: a model that is being unloaded is a zombie for a moment, too.
            if gone := dead & suspects:
                names = ", ".join(sorted(stubs.get(pid, f"pid {pid}") for pid in gone))
                reason = f"The process of {names} died; Triton does not start it anew, and would fail its requests."
                return self._failure(reason, "start the server again; the kernel's log tells if it ran out of memory")
            stubs, suspects = stubs | process.stubs(), dead
        return self._explain(code)

    def _url(self, purpose: str) -> str:
        if self._ports is None:
            raise RuntimeError("the server is not running; start() it first")
        address = "127.0.0.1" if self._ports.address == "0.0.0.0" else self._ports.address
        return f"{address}:{self._ports.number[purpose]}"

    def _command(self, triton: Triton, roots: list[Path]) -> list[str]:
        options, ports = self.options, self._ports
        assert ports is not None
        arguments = [f"--model-repository={root}" for root in roots]
        if options.models is not None:
            arguments.append("--model-control-mode=explicit")
            arguments += [f"--load-model={name}" for name in self._expected]
        if all(model.is_complete() for model in self._expected.values()):
            arguments.append("--disable-auto-complete-config")
        if options.config_name:
            arguments.append(f"--model-config-name={options.config_name}")
        for purpose in ("http", "grpc", "metrics"):
            arguments.append(f"--{purpose}-port={ports.number[purpose]}")
            arguments.append(f"--{purpose}-address={ports.address}")
        return [
            str(triton.binary),
            *arguments,
            f"--backend-directory={triton.backends}",
            f"--cache-directory={triton.caches}",
            # A python-based backend takes the settings of the python backend.
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            f"--backend-config=python,shm-growth-byte-size={SHM_GROWTH_BYTES}",
            f"--exit-timeout-secs={max(1, round(options.exit_timeout_s))}",
            f"--log-verbose={int(options.log_level == 'verbose')}",
            "--log-info=true",  # the launcher reads from it what is loaded
        ]

    def _start_process(self) -> None:
        assert self._process is not None
        try:
            self._process.start()
        except OSError as error:
            reason = f"tritonserver cannot be started: {error}"
            raise ServerFailed(reason, "see that the file can be run, and that the log can be written") from error

    def _read(self, line: str) -> None:
        """Takes one line of the log; runs on the reading thread."""
        ready = self._loading.feed(line)
        if ready is not None:
            done, took = len(self._loading.took_s), self._loading.took_s[ready]
            self._on_progress(f"[{done}/{len(self._expected)}] {ready} ready after {took:.1f} s")
        # Before it is ready, what goes wrong is told by the exception, not twice.
        wanted = self._ready or self.options.log_level in ("info", "verbose")
        if wanted and passes(line, self.options.log_level):
            self._on_log(line)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.options.start_timeout_s
        while not self._answers():
            if (code := self._process.returncode()) is not None:
                raise self._explain(code)
            if time.monotonic() > deadline:
                waiting = ", ".join(sorted(self._expected.keys() - self._loading.took_s.keys())) or "its ports"
                raise self._failure(
                    f"Not ready after {self.options.start_timeout_s:g} s; waiting for: {waiting}.",
                    "give more seconds with --start-timeout, or look into the log for what hangs",
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether all three ports take connections, Triton says ready, and so does every expected model."""
        try:
            for url in (self.grpc_url, self.metrics_url):
                host, port = url.rsplit(":", 1)
                socket.create_connection((host, int(port)), timeout=5).close()
            if self._call("GET", "/v2/health/ready")[0] != 200:
                return False
            status, index = self._call("POST", "/v2/repository/index", json.dumps({"ready": True}))
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and self._expected.keys() <= {model["name"] for model in json.loads(index)}

    def _call(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.http_url, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()

    def _explain(self, code: int) -> ServerFailed:
        """Why Triton ended: the models that failed, else its own errors."""
        assert self._process is not None
        self._process.kill()  # its stubs; and reads the log to its end
        failed = self._loading.failed
        if failed:
            reasons = "".join(f"\n  {name}: {why}" for name, why in failed.items())
            absent = any(word in reasons for word in ("No such file", "FileNotFoundError", "unable to find '"))
            mend = BUILD_WEIGHTS if absent else ""
            return self._failure(f"{len(failed)} model(s) did not load:{reasons}", mend, tail=False)
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        loading = ", ".join(sorted(self._loading.since.keys() - self._loading.took_s.keys()))
        during = f" while it loaded {loading}" if loading else ""
        said = "; ".join(self._loading.errors[-3:])
        return self._failure(f"tritonserver {ended}{during}{': ' if said else '.'}{said}")

    def _failure(self, reason: str, mend: str = "", *, tail: bool = True) -> ServerFailed:
        """A :class:`ServerFailed`, with what Triton said last; the log is kept where the next failure overwrites it."""
        assert self._process is not None
        kept = self.options.log_path
        if kept is None:
            kept = cache_folder() / "logs" / "failed.log"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.log_path, kept)
        return ServerFailed(reason, mend, self._process.tail() if tail else "", Path(kept))
