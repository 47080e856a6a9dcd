"""The page of tensors is what the graph says."""

from dataclasses import replace

import pytest

from graph import ensembles, page


def test_the_page_is_the_graph_s():
    assert page.PAGE.read_text("utf-8") == page.render(), "run python -m export configs"


@pytest.mark.parametrize("silent", [{"meaning": ""}, {"left_out": ""}])
def test_a_tensor_that_says_nothing_is_refused(monkeypatch, silent):
    first = next(each for each in ensembles.ensembles() if each.name == "recommend")
    count = replace(first.inputs[1], **silent)
    monkeypatch.setattr(page, "ensembles", lambda: [replace(first, inputs=(first.inputs[0], count))])
    with pytest.raises(ValueError, match=r"COUNT: say in graph/tensors\.py what it means"):
        page.render()
