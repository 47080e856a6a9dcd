"""Figures, table, page and CSV of judged copies."""

import json
import re

import pytest
from typer.testing import CliRunner

from benchmarks.copy.__main__ import app
from benchmarks.copy.judge import judge
from benchmarks.copy.products import Copy, load
from benchmarks.copy.report import BEGIN, END, Judged, as_json, marked, summarise, table, write_page, write_table
from benchmarks.copy.texts import read_texts

PRODUCTS = {product.id: product for product in load()}
SETTINGS = {"seeds": 1, "in_flight": 8, "limit": None}


def judged(name, raw, edited=None, error=None, edits=()):
    product = PRODUCTS[name]
    copy = Copy(name, "ad", raw=raw, edited=edited, edits=edits, error=error, write_seconds=0 if error else 2.0)
    states = {} if error else {"raw": raw} | ({} if edited is None else {"edited": edited})
    return Judged(product, copy, {state: judge(product, text) for state, text in states.items()})


@pytest.fixture
def run():
    edits = ({"kind": "figure", "before": "It holds 20,000 mAh.", "after": ""},)
    return [
        judged(
            "en-01", "The Halvor PB-21 power bank. It holds 20,000 mAh.", "The Halvor PB-21 power bank.", edits=edits
        ),
        judged("en-16", "Nocciola dark chocolate is <b>dairy-free</b>.", ""),
        judged("zh-01", "", error="vitrina/invalid_input LANGUAGE: 'zh' is not judged"),
    ]


def test_shares_are_of_the_copies_that_were_written(run):
    summary = summarise(run)
    raw, edited = summary["all"]["raw"], summary["all"]["edited"]
    assert (raw["copies"], raw["not_written"], raw["wrong_figures"], raw["unsupported_safety"]) == (2, 1, 0.5, 0.5)
    assert (edited["wrong_figures"], edited["language_right"], edited["seconds"]) == (0, 0.5, 2)
    assert summary["zh"]["raw"]["copies"] == 0
    assert summary["zh"]["raw"]["wrong_figures"] is None


def test_the_table_has_a_row_a_decoder_and_text_and_goes_into_a_page(run, tmp_path):
    runs = [json.loads(json.dumps(as_json(name, run, SETTINGS))) for name in ("small", "large | int4")]
    text = table(runs)
    both = text.split("### English")[0].splitlines()
    assert [line.split(" | ")[:2] for line in both if line.startswith("| small")] == [
        ["| small", "raw"],
        ["| small", "edited"],
    ]
    assert "large \\| int4" in text
    page = tmp_path / "copy.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(page, text)
    write_table(page, text)
    assert page.read_text() == f"before\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="lacks the lines"):
        write_table(page, text)
    with pytest.raises(ValueError, match="decoder"):
        table([{"rows": []}])


def test_the_page_marks_what_is_wrong_and_needs_nothing_beside_itself(run, tmp_path):
    write_page(tmp_path / "a" / "index.html", "small", run, SETTINGS)
    html = (tmp_path / "a" / "index.html").read_text()
    assert re.search(r'<mark class="wrong cut" title="[^"]*no fact[^"]*">20,000 mAh</mark>', html)
    assert "<sup>figure</sup>" in html
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "not judged" in html
    assert not re.search(r'(src|href)="', html)


def test_marks_do_not_change_the_text(run):
    text = run[1].copy.raw
    plain = re.sub(r"<[^>]+>", "", marked(text, run[1].judgements["raw"]))
    assert plain.replace("&lt;", "<").replace("&gt;", ">") == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,text\nen-01,x\n", "lacks the column 'task'"),
        ("id,task,text\nen-99,ad,x\n", "line 2: no product has the id 'en-99'"),
        ("id,task,text\nen-01,poem,x\n", "unknown task 'poem'"),
        ("id,task,text,seconds\nen-01,ad,x,fast\n", "seconds 'fast' is no number"),
        ("id,task,text\n", "holds no text"),
        (b"id,task,text\nen-01,ad,\xff\n", "no CSV in UTF-8"),
    ],
)
def test_a_csv_that_is_wrong_is_refused_with_its_line(tmp_path, content, message):
    file = tmp_path / "texts.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(message)):
        read_texts(file, PRODUCTS)


def test_the_command_judges_a_csv_and_makes_a_table(tmp_path):
    texts, figures, page = tmp_path / "peer.csv", tmp_path / "peer.json", tmp_path / "page.html"
    texts.write_text('﻿id,task,text,seconds\nen-16,ad,"A dairy-free chocolate, 100 g.",1.5\nzh-29,ad,高175厘米。,\n')
    command = ["--texts", str(texts), "--json", str(figures), "--page", str(page)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found = json.loads(figures.read_text())
    assert found["decoder"] == "peer"
    assert found["summary"]["all"]["raw"]["unsupported_safety"] == 0.5
    assert "高175厘米" in page.read_text()
    result = CliRunner().invoke(app, ["table", str(figures)])
    assert result.exit_code == 0
    assert "| peer | raw | 2 | 0 | 0.0% |" in result.output
    again = tmp_path / "again.json"
    options = ["--json", str(again), "--page", str(page)]
    result = CliRunner().invoke(app, ["--again", str(figures), *options])
    assert result.exit_code == 0, result.output
    assert json.loads(again.read_text())["summary"] == found["summary"]
    assert CliRunner().invoke(app, ["--again", str(texts), *options]).exit_code == 2
    assert CliRunner().invoke(app, ["--again", str(figures), *command]).exit_code == 2
    texts.write_text("id,task\n")
    assert CliRunner().invoke(app, command).exit_code == 2
