"""From judged copies to figures, the table of decoders, and the page."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from benchmarks.copy.judge import Judgement
from benchmarks.copy.products import LANGUAGES, Copy, Product
from benchmarks.copy.quantities import normal

STATES = ("raw", "edited")
#: Columns of the table: key of a summary → heading, and how the figure is written.
COLUMNS = {
    "wrong_figures": ("copies with a wrong figure", "{:.1%}"),
    "others_figures": ("with another attribute's figure", "{:.1%}"),
    "unsupported_safety": ("with safety in other words", "{:.1%}"),
    "attributes_named": ("attributes named", "{:.2f}"),
    "name_present": ("name present", "{:.2f}"),
    "language_right": ("language right", "{:.2f}"),
    "leaks": ("with words of the examples", "{:.1%}"),
    "errors_per_100_words": ("errors per 100 words", "{:.2f}"),
    "repetition": ("repetition", "{:.3f}"),
    "characters": ("characters", "{:.0f}"),
    "seconds": ("seconds", "{:.1f}"),
}


@dataclass(frozen=True)
class Judged:
    """A copy and what the judge says of it in each state; a state that is not there is left out."""

    product: Product
    copy: Copy
    judgements: dict[str, Judgement]


def summarise(judged: Sequence[Judged]) -> dict[str, dict[str, dict[str, float | None]]]:
    """``all``, ``en`` and ``zh`` → ``raw`` and ``edited`` → figures; those of nothing are None.

    Shares are of the copies that were written. An empty text after edits counts as written: it has no wrong figure, and
    neither name nor attributes.
    """
    groups = {"all": list(judged)} | {
        language: [one for one in judged if one.product.language == language] for language in LANGUAGES
    }
    return {name: {state: _figures(group, state) for state in STATES} for name, group in groups.items() if group}


def _figures(group: Sequence[Judged], state: str) -> dict[str, float | None]:
    there = [(one, one.judgements[state]) for one in group if state in one.judgements]
    every = [judgement for _, judgement in there]
    english = [judgement for one, judgement in there if one.product.language == "en"]
    words = sum(judgement.words for judgement in english)
    times = [one.copy.write_seconds for one, _ in there if one.copy.write_seconds]
    return {
        "copies": len(every),
        "not_written": sum(one.copy.error is not None for one in group),
        "wrong_figures": _share(bool(j.wrong) for j in every),
        "others_figures": _share(bool(j.anothers) for j in every),
        "unsupported_safety": _share(bool(j.unsupported_safety) for j in every),
        "attributes_named": _mean(len(j.named) / j.attributes for j in every),
        "name_present": _share(j.name_present for j in every),
        "language_right": _share(j.language_right for j in every),
        "leaks": _share(bool(j.leaks) for j in every),
        "errors_per_100_words": 100 * sum(len(j.errors) for j in english) / words if words else None,
        "repetition": _mean(j.repetition for j in every),
        "characters": statistics.median(j.characters for j in every) if every else None,
        "seconds": statistics.median(times) if times else None,
    }


def _share(values: Iterable[bool]) -> float | None:
    return _mean(float(value) for value in values)


def _mean(values: Iterable[float]) -> float | None:
    rows = list(values)
    return statistics.fmean(rows) if rows else None


def errors(judged: Iterable[Judged]) -> dict[str, int]:
    """Messages of copies that were not written, most frequent first, and how many each."""
    return dict(Counter(one.copy.error for one in judged if one.copy.error is not None).most_common())


def as_json(name: str, judged: Sequence[Judged], settings: dict[str, Any]) -> dict[str, Any]:
    """All of a run: its figures, and each copy with what the judge says of it."""
    return {
        "decoder": name,
        **settings,
        "summary": summarise(judged),
        "errors": errors(judged),
        "copies": [
            asdict(one.copy) | {"judged": {state: asdict(judgement) for state, judgement in one.judgements.items()}}
            for one in judged
        ],
    }


# ----------------------------------------------------------------------------------------------------------- table

BEGIN, END = "<!-- table: python -m benchmarks.copy table -->", "<!-- end of table -->"


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: a table a language, a row a decoder and state.

    Raises:
        ValueError: a run lacks a decoder or a summary, as no file of ``--json`` does.
    """
    for run in runs:
        if not isinstance(run.get("summary"), dict) or not run.get("decoder"):
            raise ValueError(
                "a run lacks `decoder` or `summary`; give files that `python -m benchmarks.copy --json` wrote"
            )
    parts = []
    for group, heading in (("all", "Both languages"), ("en", "English"), ("zh", "Chinese")):
        rows = [
            _row(run["decoder"], state, run["summary"][group][state])
            for run in runs
            if group in run["summary"]
            for state in STATES
            if run["summary"][group][state]["copies"] or state == "raw"
        ]
        if rows:
            headings = ["decoder", "text", "copies", "not written", *(title for title, _ in COLUMNS.values())]
            lines = [_line(headings), _line(["---"] * 2 + ["---:"] * (len(headings) - 2)), *rows]
            parts.append(f"### {heading}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _row(decoder: str, state: str, found: dict[str, Any]) -> str:
    values = ["–" if found.get(key) is None else pattern.format(found[key]) for key, (_, pattern) in COLUMNS.items()]
    return _line([decoder, state, str(found["copies"]), str(found["not_written"]), *values])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def write_table(page: Path, text: str) -> None:
    """Puts a table between its two marks in a Markdown page.

    Raises:
        ValueError: the page lacks the marks.
    """
    whole = page.read_text(encoding="utf-8")
    if BEGIN not in whole or END not in whole:
        raise ValueError(f"{page} lacks the lines {BEGIN!r} and {END!r}, between which the table goes")
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------ page


def write_page(file: Path, name: str, judged: Sequence[Judged], settings: dict[str, Any]) -> None:
    """One HTML file: the figures, then every copy beside its facts, with what is wrong marked."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    products: dict[str, list[dict[str, Any]]] = {}
    for one in judged:
        products.setdefault(one.product.id, []).append(_shown(one))
    known = {one.product.id: one.product for one in judged}
    html = environment.get_template("page.html").render(
        name=name,
        settings=settings,
        summary=summarise(judged),
        errors=errors(judged),
        columns=COLUMNS,
        rows=[(known[key], copies) for key, copies in products.items()],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(html, encoding="utf-8")


def _shown(one: Judged) -> dict[str, Any]:
    """A copy for the page: each state with its marks, and whether anything is wrong with it."""
    texts = {"raw": one.copy.raw, "edited": one.copy.edited or ""}
    cuts = [(edit.get("before", ""), edit.get("kind", "edit")) for edit in one.copy.edits]
    shown = {
        state: marked(texts[state], judgement, cuts if state == "raw" else [])
        for state, judgement in one.judgements.items()
    }
    faults = {
        state: bool(j.wrong or j.anothers or j.unsupported_safety or j.leaks or not j.language_right)
        for state, j in one.judgements.items()
    }
    return {"about": one.copy, "texts": shown, "judgements": one.judgements, "faults": faults}


def marked(text: str, judgement: Judgement, cuts: Sequence[tuple[str, str]] = ()) -> Markup:
    """A text as HTML with its findings marked, and what was cut out struck through with its kind.

    Args:
        cuts: text that an edit replaced, and the edit's kind; one that is not in the text is left out.
    """
    text = normal(text)
    spans = [(f.begin, f.end, "wrong", f.why) for f in judgement.wrong]
    spans += [(f.begin, f.end, "anothers", f.why) for f in judgement.anothers]
    spans += [
        (s.begin, s.end, "told" if s.supported else "safety", f"{'facts' if s.supported else 'no fact'}: {s.cue}")
        for s in judgement.safety
    ]
    begun: dict[str, int] = {}
    for before, kind in cuts:
        at = text.find(normal(before), begun.get(before, 0)) if before.strip() else -1
        if at >= 0:
            spans.append((at, at + len(before), "cut", kind))
            begun[before] = at + len(before)
    edges = sorted({0, len(text), *(place for begin, end, *_ in spans for place in (begin, end))})
    parts = []
    for begin, end in pairwise(edges):
        over = [span for span in spans if span[0] <= begin and end <= span[1]]
        piece = escape(text[begin:end])
        if over:
            kinds, reasons = " ".join(span[2] for span in over), "; ".join(span[3] for span in over)
            piece = Markup('<mark class="{}" title="{}">{}</mark>').format(kinds, reasons, piece)
        parts.append(piece)
        parts += [Markup("<sup>{}</sup>").format(span[3]) for span in over if span[2] == "cut" and span[1] == end]
    return Markup("").join(parts)


def read_runs(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The runs of several ``--json`` files.

    Raises:
        ValueError: a file is not JSON; its name is in the message.
    """
    runs = []
    for file in files:
        try:
            runs.append(json.loads(file.read_text(encoding="utf-8")))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file} is not JSON: {error}") from error
    return runs
