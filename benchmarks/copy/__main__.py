"""`python -m benchmarks.copy`: how much of the served copy do the products' facts support?

Each product of `benchmarks/data/copy_*.yaml` is described and advertised, without a photo, eight in flight. The text
before and after the text optimizer is of one generation. `--texts` judges copies of any origin instead; `table` makes
docs/copy.md's table out of several runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.copy.judge import Examples, judge
from benchmarks.copy.products import LANGUAGES, TASKS, Copy, Product, load
from benchmarks.copy.report import COLUMNS, Judged, as_json, read_runs, summarise, table, write_page, write_table
from benchmarks.copy.service import IN_FLIGHT, MODELS, write_all
from benchmarks.copy.texts import read_run, read_texts
from benchmarks.serving import REPOSITORY, JsonFile, Url, grpc_address, write_json
from stages.editing import edit
from stages.prompts import Prompts
from stages.request import Request
from stages.text import sentences

DECODER = REPOSITORY / "model_repository" / "models" / "text_decoder" / "1"
PAGE = REPOSITORY / "out" / "copy" / "index.html"
console = Console()
app = typer.Typer(add_completion=False, help=__doc__)


@app.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    url: Url = None,
    json_file: JsonFile = None,
    page: Annotated[Path, typer.Option(help="Write all copies beside their facts here.")] = PAGE,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many products a language.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Copies of each product and task.")] = 1,
    texts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Judge this CSV (id, task, text); no server runs.")
    ] = None,
    again: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Judge the copies of an earlier --json anew.")
    ] = None,
    edit_again: Annotated[
        bool, typer.Option(help="With --again: edit what the decoder wrote by the text optimizer as it is now.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What the decoder is called in the table.")] = None,
    wording: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Wording file whose examples may leak; else the served one's."),
    ] = None,
) -> None:
    """Writes and judges the copies, prints the figures."""
    if context.invoked_subcommand is not None:
        return
    products = {product.id: product for product in load()}
    if texts is not None and again is not None:
        raise typer.BadParameter("give --texts or --again, not both")
    given = texts or again
    if given is None:
        copies, title = _written(url, load(limit), seeds), ""
        wording, name = wording or DECODER / "prompts.json", name or _decoder_name()
    else:
        try:
            title, copies = read_run(given, products) if again else (given.stem, read_texts(given, products))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--again" if again else "--texts") from error
    if edit_again:
        copies = [_edited(products[copy.product], copy) for copy in copies]
    name = name or title
    examples = _examples(wording)
    judged = [_judged(products[copy.product], copy, examples) for copy in copies]
    settings = {"seeds": seeds, "in_flight": 0 if texts else IN_FLIGHT, "limit": limit}
    write_json(as_json(name, judged, settings), json_file)
    write_page(page, name, judged, settings)
    _show(name, judged)
    console.print(f"[dim]{page}")
    if not any(one.judgements for one in judged):
        raise typer.Exit(1)


def _edited(product: Product, copy: Copy) -> Copy:
    """The copy as the text optimizer edits it now; no server is asked."""
    attributes = tuple(product.attributes.items())
    request = Request(copy.task, product.language, title=product.title, attributes=attributes)
    text, edits = edit(copy.raw, copy.finish, request, Prompts.load(DECODER / "prompts.json"))
    return replace(copy, edited=text, edits=tuple(each._asdict() for each in edits))


def _written(url: str | None, products: list[Product], seeds: int) -> list[Copy]:
    flags = [part for model in MODELS for part in ("--model", model)]
    with grpc_address(url, *flags) as address, Progress(console=console, transient=True) as progress:
        bar = progress.add_task("writing", total=len(products) * len(TASKS) * seeds)
        return write_all(address, products, TASKS, seeds, lambda copy: progress.advance(bar))


def _decoder_name() -> str:
    """The served decoder by its sizes, where the export says no better name."""
    facts: dict[str, Any] = json.loads((DECODER / "decoder.json").read_text(encoding="utf-8"))
    return f"{facts.get('name') or '{layers} layers of {hidden}'.format(**facts)}, {facts['precision']}"


def _examples(wording: Path | None) -> Examples | None:
    if wording is None or not wording.exists():
        return None
    try:
        return Examples.read(yaml.safe_load(wording.read_text(encoding="utf-8")), load())  # JSON is YAML
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{wording} is no YAML: {error}", param_hint="--wording") from error


def _judged(product: Product, copy: Copy, examples: Examples | None) -> Judged:
    states = {"raw": copy.raw, "edited": copy.edited}
    if copy.error is not None:
        states = {"raw": copy.raw or None, "edited": None}
    return Judged(product, copy, {s: judge(product, text, examples) for s, text in states.items() if text is not None})


def _show(name: str, judged: list[Judged]) -> None:
    shown = Table(title=name)
    shown.add_column("")
    groups = [
        (f"{group} {state}", found)
        for group, states in summarise(judged).items()
        for state, found in states.items()
        if found["copies"] or state == "raw"
    ]
    for heading, _ in groups:
        shown.add_column(heading, justify="right")
    for key, (title, pattern) in {"copies": ("copies", "{}"), "not_written": ("not written", "{}"), **COLUMNS}.items():
        shown.add_row(title, *("–" if found[key] is None else pattern.format(found[key]) for _, found in groups))
    console.print(shown)
    for task in TASKS:
        for language in LANGUAGES:
            edited = [
                one
                for one in judged
                if (one.copy.task, one.product.language) == (task, language) and "edited" in one.judgements
            ]
            if edited:
                plain = sum(not _keeps_a_sentence(one.copy) for one in edited) / len(edited)
                found = [one.judgements["edited"] for one in edited]
                named = sum(len(each.named) / each.attributes for each in found if each.attributes) / len(found)
                console.print(f"{task}, {language}: {named:.3f} of the attributes named after edits; ", end="")
                console.print(f"{plain:.3f} of the copies keep no sentence of the decoder's")
    for message in sorted({one.copy.error for one in judged if one.copy.error}):
        console.print(f"not written: {message}", markup=False)


def _keeps_a_sentence(copy: Copy) -> bool:
    """Whether the edited text begins any sentence as the decoder did; a sentence may have been cut short."""
    return any(each.strip()[:20] in copy.raw for each in sentences(copy.edited or "") if len(each.strip()) > 8)


@app.command("table")
def decoders(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="What --json wrote, a file a decoder.")
    ],
    write: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Put the table into this page, such as docs/copy.md."),
    ] = None,
) -> None:
    """One row a decoder, as Markdown."""
    try:
        text = table(read_runs(files))
        if write is not None:
            write_table(write, text)
    except (ValueError, KeyError) as error:
        raise typer.BadParameter(str(error)) from error
    print(text)


if __name__ == "__main__":
    app()
