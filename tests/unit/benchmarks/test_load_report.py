"""From Locust's samples to figures, on samples whose figures are known."""

import json
import re

import pytest

from benchmarks import load_report

SETTINGS = {"users": 4, "run_time_s": 20, "max_tokens": 8}
MACHINE = {"cpu": "A & B <CPU>", "cores": 2, "python": "3.11", "load_1min": 1.0}


def samples(tmp_path, lines):
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def offered(t, embedding, text):
    return {"t": t, "offered": {"EMBEDDING grpc": embedding, "TEXT stream http": text}}


def request(t, row, protocol, ms, error=None):
    return {"t": t, "row": row, "protocol": protocol, "ms": ms, "error": error}


@pytest.fixture
def load(tmp_path):
    lines = [offered(t / 2, min(10.0, t), 0.5 if t >= 10 else 0.0) for t in range(40)]  # all there from 5 to 19.5 s
    lines += [offered(20.0, 4.0, 0.0)]
    lines += [request(5 + 0.1 * n, "EMBEDDING", "grpc", 1 + n) for n in range(100)]
    lines += [request(1, "EMBEDDING", "grpc", 99_999), request(19.9, "EMBEDDING", "grpc", 99_999)]
    lines += [request(6 + n, "TEXT stream", "http", 900, "QueueFull") for n in range(3)]
    lines += [request(9.5, "TEXT stream", "http", 1000), request(9, "TEXT stream: first token", "http", 400)]
    return load_report.read(samples(tmp_path, lines), SETTINGS, MACHINE)


def test_rows_are_of_the_time_when_all_users_were_there(load):
    assert (load.window_from_s, load.window_s) == (5.0, 14.5)
    embedding, stream, first = load.rows
    assert (embedding.name, embedding.protocol, embedding.requests) == ("EMBEDDING", "grpc", 100)
    assert embedding.ms["p50"] == pytest.approx(50.5)
    assert embedding.ms["max"] == 100
    assert embedding.offered_per_s == 10.0
    assert embedding.achieved_per_s == pytest.approx(100 / 14.5, abs=1e-3)
    assert (stream.name, stream.requests, stream.failures) == ("TEXT stream", 4, {"QueueFull": 3})
    assert stream.achieved_per_s == pytest.approx(1 / 14.5, abs=1e-3)
    assert (first.name, first.is_part, first.label) == ("TEXT stream: first token", True, "first token")


def test_what_falls_short_is_told_but_not_by_one_request_of_chance(load):
    embedding, stream, first = load.rows
    assert embedding.falls_short(load.window_s)
    assert stream.falls_short(load.window_s)
    assert not first.falls_short(load.window_s)
    assert not load_report.Row("TEXT", "grpc", 0.5, 0.4, 4, {}, {}).falls_short(10)


def test_a_kind_that_nobody_was_answered_has_its_row(tmp_path):
    lines = [offered(0, 4.0, 0.5), offered(10, 4.0, 0.5), request(3, "EMBEDDING", "grpc", 5)]
    rows = load_report.read(samples(tmp_path, lines), SETTINGS, MACHINE).rows
    assert [(row.name, row.requests, row.achieved_per_s, row.ms) for row in rows][1] == ("TEXT stream", 0, 0, {})


def test_the_time_line_holds_both_rates(load):
    line = load.timeline["EMBEDDING"]
    assert len(line["t"]) == len(line["offered"]) == len(line["achieved"])
    assert line["offered"][-1] == 10.0
    assert line["achieved"][2] == pytest.approx(10.0, rel=0.05)


def test_the_page_needs_nothing_beside_itself(load, tmp_path):
    page, figures = load_report.write(load, tmp_path)
    html = page.read_text()
    assert html.count("<svg") == 2
    assert not re.search(r'(src|href)="(?!#)', html)
    assert "A &amp; B &lt;CPU&gt;" in html
    assert "3 QueueFull" in html
    written = json.loads(figures.read_text())
    assert [row["name"] for row in written["rows"]] == [row.name for row in load.rows]
    assert written["machine"]["cores"] == 2


def test_a_run_in_which_nothing_ended_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="give a longer --run-time"):
        load_report.read(samples(tmp_path, [offered(0, 1.0, 1.0), offered(5, 1.0, 1.0)]), SETTINGS, MACHINE)
