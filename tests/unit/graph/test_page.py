"""The page of tensors is what the graph says."""

from dataclasses import replace

import pytest

from graph import options, page
from graph.assembly import load


def test_the_page_is_the_graph_s():
    assert page.PAGE.read_text("utf-8") == page.render(load()), "run python -m export configs"


@pytest.mark.parametrize("silent", [{"meaning": ""}, {"left_out": ""}])
def test_a_tensor_that_says_nothing_is_refused(silent):
    first = next(each for each in load().ensembles if each.name == "recommend")
    count = replace(first.inputs[1], **silent)
    graph = replace(load(), ensembles=(replace(first, inputs=(first.inputs[0], count)),))
    with pytest.raises(ValueError, match=r"COUNT: say in graph/tensors\.py what it means"):
        page.render(graph)


def test_the_clients_options_are_the_rows():
    assert options.MODULE.read_text("utf-8") == options.render(), "run python -m export configs"
