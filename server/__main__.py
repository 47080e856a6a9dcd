"""`python -m server`: runs Triton until SIGTERM or Ctrl-C, which let requests in flight end.

Should Triton or the process of a model die, all of it is started anew on the same ports.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from server.errors import ServerFailed
from server.launcher import Server
from server.options import DEFAULT_ROOTS, LogLevel, ServerOptions

DEFAULT = ServerOptions()
STEADY_S = 60.0  # a server that dies sooner, having been started anew, would die again
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def serve(
    model_root: Annotated[
        list[Path] | None, typer.Option(envvar="VITRINA_MODEL_ROOTS", help="Folder of models; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(envvar="VITRINA_MODELS", help="Load only this one and its steps.")
    ] = None,
    config_name: Annotated[
        str | None, typer.Option(envvar="VITRINA_CONFIG_NAME", help="Hardware variant, as in configs/NAME.pbtxt.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(envvar="VITRINA_POLICY", help="What the shop will not show, like stages/policy.yaml.")
    ] = None,
    taxonomy: Annotated[
        Path | None, typer.Option(envvar="VITRINA_TAXONOMY", help="Categories of listings, like stages/taxonomy.yaml.")
    ] = None,
    brand: Annotated[
        Path | None, typer.Option(envvar="VITRINA_BRAND", help="The shop's voice: style, words, never (YAML).")
    ] = None,
    host: Annotated[str, typer.Option(envvar="VITRINA_HOST", help="Address to listen on.")] = DEFAULT.host,
    http_port: Annotated[int, typer.Option(envvar="VITRINA_HTTP_PORT", help="0: a free one.")] = DEFAULT.http_port,
    grpc_port: Annotated[int, typer.Option(envvar="VITRINA_GRPC_PORT", help="0: a free one.")] = DEFAULT.grpc_port,
    metrics_port: Annotated[
        int, typer.Option(envvar="VITRINA_METRICS_PORT", help="0: a free one.")
    ] = DEFAULT.metrics_port,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="VITRINA_LOG_LEVEL", help="Triton's lines shown on stderr.")
    ] = DEFAULT.log_level,
    log_file: Annotated[Path | None, typer.Option(envvar="VITRINA_LOG_FILE", help="Keep the whole log here.")] = None,
    shm_prefix: Annotated[
        str, typer.Option(envvar="VITRINA_SHM_PREFIX", help="Beginning of this server's names in /dev/shm.")
    ] = DEFAULT.shm_prefix,
    start_timeout: Annotated[
        float, typer.Option(envvar="VITRINA_START_TIMEOUT", help="Seconds until every model must be ready.")
    ] = DEFAULT.start_timeout_s,
    exit_timeout: Annotated[
        float, typer.Option(envvar="VITRINA_EXIT_TIMEOUT", help="Seconds that requests in flight get to end.")
    ] = DEFAULT.exit_timeout_s,
) -> None:
    """Run Triton with the models of this repository until SIGTERM or Ctrl-C."""
    try:
        options = ServerOptions(
            model_roots=model_root or DEFAULT_ROOTS,
            models=model or None,
            policy=policy,
            taxonomy=taxonomy,
            brand=brand,
            config_name=config_name,
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            log_level=log_level,
            log_path=log_file,
            shm_prefix=shm_prefix,
            start_timeout_s=start_timeout,
            exit_timeout_s=exit_timeout,
        )
        code = run(options)
    except (ServerFailed, ValueError) as error:
        err.print("[bold red]failed[/] ", end="")
        err.print(str(error), markup=False)
        sys.exit(1)
    sys.exit(code)


def run(options: ServerOptions) -> int:
    """Serves until a signal; 0 after an orderly stop, 1 if requests had to be cut off.

    Raises:
        ServerFailed: it did not start; or Triton ended by itself twice, the second time soon after it was ready again.
    """
    stopping = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            err.print("stopping already; requests in flight are being finished")
            return
        stopping.set()
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server = Server(
        options,
        on_progress=lambda line: out.print(line, markup=False),
        on_log=lambda line: err.print(line, markup=False),
    )
    try:
        died = False
        while True:
            server.start()
            out.print(f"ready  http {server.http_url}  grpc {server.grpc_url}  metrics {server.metrics_url}/metrics")
            began = time.monotonic()
            failure = server.wait()
            if died and time.monotonic() < began + STEADY_S:
                raise failure
            died = True
            err.print("[bold red]died[/] ", end="")
            err.print(str(failure), markup=False)
            server.stop()
            out.print("starting again")
    except KeyboardInterrupt as why:
        out.print(f"stopping ({why}): letting requests in flight end, at most {options.exit_timeout_s:g} s")
        in_time = server.stop()
        out.print("stopped" if in_time else "stopped; some requests did not end in time and were cut off")
        return 0 if in_time else 1
    finally:
        server.stop()


if __name__ == "__main__":
    typer.run(serve)
