"""`vitrina batch` on the served bundle: every output, faults beside good rows, and going on after being stopped."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet
from vitrina_client import ConnectionFailed, InvalidInput, Vitrina, _batch, _command
from vitrina_client._batch import FILES, Order, rows

CUP = Path(__file__).parent.parent.parent / "samples" / "espresso-cup.jpg"


@pytest.fixture
def shop(tmp_path):
    """A folder with a photo and a table of three good rows and four bad ones."""
    shutil.copy(CUP, tmp_path / "cup.jpg")
    (tmp_path / "torn.jpg").write_bytes(CUP.read_bytes()[:3000])
    lines = [
        ["id", "title", "image", "colour"],
        ["cup", "Espresso cup", "cup.jpg", "red"],
        ["", "Garden chair", "", ""],
        ["杯子/1", "A cup", "cup.jpg", ""],
        ["torn", "A cup", "torn.jpg", ""],
        ["cup", "Another cup", "", ""],
        ["lamp", "Desk lamp", "", ""],
        ["", "", "", "blue"],
    ]
    with (tmp_path / "shop.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return tmp_path


def test_parquet_holds_paths_or_the_pictures_themselves(server, tmp_path):
    shutil.copy(CUP, tmp_path / "cup.jpg")
    data = CUP.read_bytes()
    columns = {
        "id": ["path", "bytes", "struct", "torn", "title"],
        "title": ["A cup", "A cup", "A cup", "A cup", "Garden chair"],
        "image": [
            {"bytes": None, "path": "cup.jpg"},
            {"bytes": data, "path": None},
            {"bytes": data, "path": "cup.jpg"},
            {"bytes": data[:3000], "path": None},
            None,
        ],
        "year": [2024, 2025, None, 1, 2],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "shop.parquet")
    found = list(rows(tmp_path / "shop.parquet"))
    assert [row.key for row in found] == columns["id"] and not any(row.fault for row in found)
    assert [type(row.product.image).__name__ for row in found[:2]] == ["PosixPath", "bytes"]
    assert [dict(row.product.attributes) for row in found[:3]] == [{"year": "2024"}, {"year": "2025"}, {}]
    command = ["batch", str(tmp_path / "shop.parquet"), "--out", str(tmp_path / "out"), "--url", server.grpc_url]
    assert _command.main(command) == 6
    assert [report(tmp_path)[str(n)]["state"] for n in range(1, 6)] == ["made", "made", "made", "failed", "made"]
    record = json.loads((tmp_path / "out" / "bytes" / "record.json").read_text())
    assert record["given"]["image"] == f"{len(data):,} bytes"
    # What the decoder writes may read a little like anything; of what was given the policy says nothing.
    assert [finding for finding in record["moderation"] if finding["field"] != "TEXT"] == []
    for name, table in (("none.parquet", {"colour": ["red"]}), ("empty.parquet", {})):
        parquet.write_table(pyarrow.table(table), tmp_path / name)
        with pytest.raises(InvalidInput, match="expected title, image"):
            list(rows(tmp_path / name))
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "shop.parquet").read_bytes()[:-20])
    with pytest.raises(InvalidInput, match="cannot read"):
        list(rows(tmp_path / "torn.parquet"))


def report(folder):
    with (folder / "out" / "report.csv").open(encoding="utf-8", newline="") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def test_good_rows_are_made_bad_ones_are_told_and_a_second_run_keeps_what_is_there(server, shop, capsys):
    command = ["batch", str(shop / "shop.csv"), "--out", str(shop / "out"), "--url", server.grpc_url]
    assert _command.main(command) == 6
    said = capsys.readouterr().err
    assert "3 made, 0 kept, 4 failed" in said and "row 4 (torn): text: " in said
    found = report(shop)
    assert [found[str(n)]["state"] for n in range(1, 8)] == [
        "made",
        "made",
        "failed",
        "failed",
        "failed",
        "made",
        "failed",
    ]
    for row, why in (("3", "id that names no folder"), ("4", "broken JPEG"), ("5", "id 'cup' of an earlier row")):
        assert why in found[row]["error"]
    assert "neither title nor image" in found["7"]["error"]
    record = json.loads((shop / "out" / "cup" / "record.json").read_text(encoding="utf-8"))
    assert record["given"] == {"title": "Espresso cup", "attributes": {"colour": "red"}, "image": str(shop / "cup.jpg")}
    assert record["errors"] == {} and record["tags"][0]["name"] == "cup"
    copy = (shop / "out" / "cup" / "copy.txt").read_text(encoding="utf-8")
    assert len(copy.split()) > 3
    assert (shop / "out" / "000002" / "copy.txt").stat().st_size > 10
    assert not list((shop / "out").glob(".*"))

    before = (shop / "out" / "cup" / "copy.txt").stat().st_mtime_ns
    shutil.copy(CUP, shop / "torn.jpg")  # mended
    assert _command.main(command) == 6
    assert "1 made, 3 kept, 3 failed" in capsys.readouterr().err
    assert (shop / "out" / "cup" / "copy.txt").stat().st_mtime_ns == before


def test_every_output_of_a_product_and_one_that_fails_takes_no_other_along(server, tmp_path):
    shutil.copy(CUP, tmp_path / "cup.jpg")
    entries = [{"id": 7, "title": "Espresso cup", "image": "cup.jpg", "background": "photo"}, {"title": "Desk lamp"}]
    text = "\n".join(["no JSON", "[]", *map(json.dumps, entries)])
    (tmp_path / "shop.jsonl").write_text(text, encoding="utf-8")
    told = []
    want = tuple(output for output in FILES if output != "speech")
    with Vitrina(f"grpc://{server.grpc_url}") as vitrina:
        order = Order(want, {"task": "ad"}, "shadow", "1:1")
        counts = _batch.run(tmp_path / "shop.jsonl", tmp_path / "out", vitrina, order, 2, told.append)
    assert counts == {"made": 1, "kept": 0, "failed": 3}
    cup = tmp_path / "out" / "7"
    assert {path.name for path in cup.iterdir()} == {"record.json", *(FILES[output] for output in want)}
    shot = Image.open(BytesIO((cup / "studio.jpg").read_bytes()))
    assert shot.size == (1200, 1200) and max(shot.getpixel((40, 600))) < 200  # the row's own background: the table
    lamp = tmp_path / "out" / "000004"
    assert {path.name for path in lamp.iterdir()} == {"record.json", "copy.txt", "drawn.png", "drawn.mp4"}
    errors = json.loads((lamp / "record.json").read_text(encoding="utf-8"))["errors"]
    assert errors.keys() == {"studio", "studio_video", "post"} and "the product has no photo" in errors["studio"]
    faults = {outcome.row.number: outcome.error for outcome in told if outcome.state == "failed"}
    assert faults.keys() == {1, 2, 4} and faults[1].startswith("is not JSON") and faults[2] == "is not a JSON object"


def test_it_goes_on_where_it_was_stopped(server, tmp_path):
    table = tmp_path / "shop.csv"
    table.write_text("title\n" + "".join(f"Garden chair number {n}\n" for n in range(40)), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "vitrina_client",
        "batch",
        str(table),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "2",
    ]
    command += ["--url", server.grpc_url]
    path = str(Path(__file__).parents[2] / "client")
    first = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.DEVNULL)
    while len(list((tmp_path / "out").glob("0*"))) < 4:
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == 130
    made = {folder.name for folder in (tmp_path / "out").glob("0*")}
    assert 4 <= len(made) < 40 and not (tmp_path / "out" / "report.csv").exists()
    assert all((tmp_path / "out" / name / "record.json").exists() for name in made)
    assert _command.main(command[3:]) == 0
    states = [row["state"] for row in report(tmp_path).values()]
    assert (states.count("kept"), states.count("made")) == (len(made), 40 - len(made))


def test_without_a_server_nothing_is_begun_twice(tmp_path):
    (tmp_path / "shop.csv").write_text("title\nA mug\nA cup\n", encoding="utf-8")
    with Vitrina("grpc://127.0.0.1:2", retries=0) as vitrina, pytest.raises(ConnectionFailed):
        _batch.run(tmp_path / "shop.csv", tmp_path / "out", vitrina, Order(("text",), {}), 2, lambda outcome: None)
    assert not (tmp_path / "out" / "report.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("shop.txt", b"title\n", "expected a name in .csv, .jsonl or .parquet"),
        ("shop.csv", b"name,price\nmug,3\n", "the first line has name, price; expected title, image"),
        ("shop.csv", b"", "the first line has nothing"),
        ("shop.csv", b"title\n\xff\xfe\n", "cannot read .*codec can't decode"),
        ("none.csv", None, "cannot read .*No such file"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        list(rows(tmp_path / name))


def test_rows_are_read_as_they_come(tmp_path):
    (tmp_path / "shop.csv").write_text(
        '\ufefftitle,image,material,background\n"A, B",a.jpg,oak,photo\nC,,,\nD,,,,extra\nE,,,pink\n', encoding="utf-8"
    )
    first, second, third, fourth = rows(tmp_path / "shop.csv")
    assert (first.background, second.background) == ("photo", None)
    assert fourth.fault == "has the background 'pink'; send white, shadow, studio, transparent, photo"
    assert (first.key, first.product.title, first.product.image) == ("000001", "A, B", tmp_path / "a.jpg")
    assert first.product.attributes == {"material": "oak"} and second.product.image is None
    assert third.fault == "has more columns than the first line"
