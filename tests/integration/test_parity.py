"""The last link of parity: the server answers what torch answered, at every batch size and length."""

import json

import pytest

from export import build, recipe, report
from graph import assembly
from graph.schema import MAX_BATCH


def test_report_is_a_file_of_every_slot(server, tmp_path):
    offline = recipe.load("offline-small")
    built = [build.build(slot, offline) for slot in offline.filled]
    rows = report.report(offline, built, assembly.load(), server.grpc_url, tmp_path / "parity.json")
    assert json.loads((tmp_path / "parity.json").read_text())["rows"] == rows
    single_pass = {
        "text_encoder",
        "image_encoder",
        "fusion",
        "image_decoder",
        "video_decoder",
        "cutout",
        "speech_decoder",
        "label_detector",
        "label_classifier",
        "label_recognizer",
    }
    assert {row["slot"] for row in rows} >= single_pass | {"text_decoder"}
    for slot in single_pass:
        of_slot = [row for row in rows if row["slot"] == slot]
        if slot in ("speech_decoder", "label_detector"):  # one at a time
            assert all("onnx_served" in row for row in of_slot)
            continue
        most = assembly.load().model(slot).cpu_batch or MAX_BATCH
        was_served = {int(row["case"].split()[0].removeprefix("batch=")): "onnx_served" in row for row in of_slot}
        assert was_served == {rows: rows <= most for rows in (1, 2, 5, 8)}, slot


def test_report_is_written_before_a_failure_is_raised(bundle, tmp_path):
    offline = recipe.load("offline-small")
    slot = offline.slot("text_encoder").model_copy(update={"tolerance": {"torch_onnx": 0.0}})
    strict = offline.model_copy(update={"slots": offline.slots.model_copy(update={"text_encoder": slot})})
    built = build.build("text_encoder", offline)
    with pytest.raises(RuntimeError, match=r"text_encoder batch=.* torch_onnx is .* the recipe allows 0"):
        report.report(strict, [built], assembly.load(), None, tmp_path / "parity.json")
    assert (tmp_path / "parity.json").exists()
