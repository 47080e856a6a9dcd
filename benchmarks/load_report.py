"""From Locust's samples to figures: rows, time lines, two plots, a page that needs nothing beside itself, and JSON."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}
FIRST_TOKEN = ": first token"
KINDS = ("EMBEDDING", "TEXT", "TEXT stream")
COLOURS = {"grpc": "#2563eb", "http": "#d97706"}
INK, PALE = "#1f2933", "#9aa5b1"


@dataclass(frozen=True)
class Row:
    """One kind of request over one protocol, over the time when all users were there.

    Attributes:
        offered_per_s: what the users would have asked; None for a part of another row's request.
        achieved_per_s: answered without error.
        failures: error → count.
        ms: percentile → milliseconds of those answered; empty if none was.
    """

    name: str
    protocol: str
    offered_per_s: float | None
    achieved_per_s: float
    requests: int
    failures: dict[str, int]
    ms: dict[str, float]

    @property
    def is_part(self) -> bool:
        """Whether it is a part of another row's request."""
        return self.offered_per_s is None

    @property
    def label(self) -> str:
        """Its name in a table, under the row that it may be a part of."""
        return self.name.rpartition(": ")[2]

    def falls_short(self, seconds: float) -> bool:
        """Whether less than 0.9 of what was offered was achieved, by more than one request of chance."""
        return not self.is_part and self.achieved_per_s * seconds < 0.9 * (self.offered_per_s or 0) * seconds - 1


@dataclass(frozen=True)
class Load:
    """One run.

    Attributes:
        window_s: seconds that the rows are of.
        window_from_s: when they begin.
        timeline: kind → {"t", "offered", "achieved"}: rates a second over both protocols, at the middle of each slice.
        latencies: "row protocol" → every latency in the window, ms.
    """

    settings: dict[str, Any]
    machine: dict[str, Any]
    window_s: float
    window_from_s: float
    rows: list[Row]
    timeline: dict[str, dict[str, list[float]]]
    latencies: dict[str, list[float]]


def read(samples: Path, settings: dict[str, Any], machine: dict[str, Any]) -> Load:
    """Reads what `locustfile` wrote.

    Raises:
        RuntimeError: no request ended while all users were there.
    """
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    looks = [line for line in lines if "offered" in line]
    asked = [line for line in lines if "row" in line]
    start, end = _plateau(looks)
    window = [line for line in asked if start <= line["t"] < end]
    if not window:
        raise RuntimeError(f"no request ended between {start:.1f} and {end:.1f} s; give a longer --run-time")
    offered = max((look["offered"] for look in looks), key=lambda rates: sum(rates.values()))
    rows = [_row(name, protocol, window, offered, end - start) for name, protocol in _names(asked, offered)]
    latencies = {f"{row.name} {row.protocol}": _latencies(window, row.name, row.protocol) for row in rows}
    return Load(settings, machine, end - start, start, rows, _timeline(looks, asked, end), latencies)


def write(load: Load, folder: Path) -> tuple[Path, Path]:
    """`index.html` and `bench.json` in `folder`."""
    figures = {name: value for name, value in asdict(load).items() if name != "latencies"}
    json_path, page_path = folder / "bench.json", folder / "index.html"
    json_path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("load_page.html")
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}):
        page = template.render(load=load, latency=_svg(_latency_plot(load)), rates=_svg(_rate_plot(load)))
    page_path.write_text(page, encoding="utf-8")
    return page_path, json_path


# ------------------------------------------------------------------------------------------------------------ rows


def _names(asked: list[dict], offered: dict[str, float]) -> list[tuple[str, str]]:
    """(row, protocol) in the order of the page; what was offered has its row though nothing of it was answered."""
    found = {(line["row"], line["protocol"]) for line in asked}
    found |= {(name, protocol) for name, _, protocol in (key.rpartition(" ") for key in offered)}
    order = [name for kind in KINDS for name in (kind, kind + FIRST_TOKEN)]
    return sorted(found, key=lambda each: (order.index(each[0]), each[1]))


def _row(name: str, protocol: str, window: list[dict], offered: dict[str, float], seconds: float) -> Row:
    mine = [line for line in window if (line["row"], line["protocol"]) == (name, protocol)]
    latencies = _latencies(window, name, protocol)
    failures = Counter(line["error"] for line in mine if line["error"] is not None)
    ms = {key: round(float(np.percentile(latencies, at)), 1) for key, at in PERCENTILES.items()} if latencies else {}
    return Row(
        name,
        protocol,
        round(offered[f"{name} {protocol}"], 3) if f"{name} {protocol}" in offered else None,
        round(len(latencies) / seconds, 3),
        len(mine),
        dict(failures),
        ms,
    )


def _latencies(window: list[dict], name: str, protocol: str) -> list[float]:
    return [
        line["ms"] for line in window if (line["row"], line["protocol"]) == (name, protocol) and line["error"] is None
    ]


def _plateau(looks: list[dict]) -> tuple[float, float]:
    """When the last user had come, and when the first left."""
    totals = [sum(look["offered"].values()) for look in looks]
    full = [look["t"] for look, total in zip(looks, totals, strict=True) if total >= max(totals) - 1e-9]
    return full[0], full[-1]


def _timeline(looks: list[dict], asked: list[dict], end: float) -> dict[str, dict[str, list[float]]]:
    edges = np.linspace(0, end, max(4, round(end / 4)) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    times = [look["t"] for look in looks]
    made = {}
    for kind in KINDS:
        offered = [
            sum(rate for name, rate in look["offered"].items() if name.rpartition(" ")[0] == kind) for look in looks
        ]
        ended = [line["t"] for line in asked if line["row"] == kind and line["error"] is None]
        achieved = np.histogram(ended, edges)[0] / np.diff(edges)
        made[kind] = {
            "t": [round(float(t), 2) for t in middles],
            "offered": [round(float(rate), 3) for rate in np.interp(middles, times, offered)],
            "achieved": [round(float(rate), 3) for rate in achieved],
        }
    return made


# ----------------------------------------------------------------------------------------------------------- plots


def _latency_plot(load: Load) -> Figure:
    """A line from p50 to p99 a row, on a logarithmic axis; every request behind it as a faint tick."""
    rows = [row for row in load.rows if row.ms]
    figure = Figure(figsize=(9.2, 0.62 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(reversed(rows)):
        colour = COLOURS[row.protocol]
        every = load.latencies[f"{row.name} {row.protocol}"]
        axes.plot(every, [place] * len(every), "|", color=colour, alpha=0.16, markersize=9)
        axes.plot([row.ms["p50"], row.ms["p99"]], [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
        for name, marker, size in (("p50", "o", 7), ("p95", "D", 5), ("p99", "|", 13)):
            axes.plot(row.ms[name], place, marker, color=colour, markersize=size, markeredgewidth=2)
        axes.annotate(
            f"{row.ms['p50']:.0f}",
            (row.ms["p50"], place),
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
        axes.annotate(
            f"{row.ms['p99']:.0f}", (row.ms["p99"], place), (7, -3), textcoords="offset points", fontsize=8.5, color=INK
        )
    axes.set_yticks(range(len(rows)), [f"{row.name}  {row.protocol}" for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if str(value)[0] in "25" else "")
    axes.set_xlabel("milliseconds   (● median   ◆ p95   | p99)", color=INK)
    _plain(axes)
    axes.tick_params(axis="y", length=0)
    return figure


def _rate_plot(load: Load) -> Figure:
    """Offered and achieved rate over time, a panel each kind: where they part, the server is full."""
    figure = Figure(figsize=(9.2, 2.9), layout="constrained")
    panels = figure.subplots(1, len(KINDS))
    for axes, kind in zip(panels, KINDS, strict=True):
        line = load.timeline[kind]
        axes.axvspan(load.window_from_s, load.window_from_s + load.window_s, color="#f1f5f9", zorder=0)
        axes.plot(line["t"], line["offered"], "--", color=PALE, linewidth=1.8, label="offered")
        axes.plot(line["t"], line["achieved"], color="#0f766e", linewidth=2.2, label="achieved")
        axes.fill_between(
            line["t"],
            line["achieved"],
            line["offered"],
            where=np.less(line["achieved"], line["offered"]),
            interpolate=True,
            color="#dc2626",
            alpha=0.12,
            linewidth=0,
            label="not served",
        )
        axes.set_title(kind, loc="left", fontsize=10.5, fontweight="bold", color=INK)
        axes.set_ylim(0, max(*line["offered"], *line["achieved"], 0.1) * 1.15)
        axes.set_xlabel("seconds", color=INK)
        _plain(axes)
    panels[0].set_ylabel("requests a second", color=INK)
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside upper right", ncols=3)
    return figure


def _plain(axes: Any) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.grid(axis="x" if axes.get_xscale() == "log" else "y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, pad=4, length=3)


def _svg(figure: Figure) -> str:
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None}, transparent=True)
    text = sink.getvalue()
    return text[text.index("<svg") :]
