"""The report of parity, without a server."""

import json

import pytest

from export import recipe, report
from export.build import Built
from families.common.parity import ParityError
from graph import assembly


def test_report_is_written_and_a_figure_over_the_tolerance_is_refused(tmp_path):
    offline = recipe.load("offline-small")
    metric, limit = next(iter(offline.slot("text_encoder").tolerance.items()))
    built = Built("text_encoder", "", tmp_path, cached=True, seconds=0.0)
    for figure, refused in ((limit / 2, False), (limit * 2, True)):
        (tmp_path / "parity.json").write_text(json.dumps([{"case": "batch=1", "output": "y", metric: figure}]))
        out = tmp_path / "report.json"
        if refused:
            with pytest.raises(ParityError, match=rf"text_encoder batch=1 y: {metric} is"):
                report.report(offline, [built], assembly.load(), None, out)
        else:
            report.report(offline, [built], assembly.load(), None, out)
        assert json.loads(out.read_text())["rows"][0][metric] == figure
