"""The page of tensors is what the pipeline says, and speaks of every one."""

from export import pipeline, tensors


def test_the_page_is_the_pipeline_s():
    assert tensors.PAGE.read_text("utf-8") == tensors.render(), "run python -m export configs"


def test_every_optional_input_says_what_is_taken_instead():
    optional = {tensor.name for ensemble in pipeline.ensembles() for tensor in ensemble.inputs if tensor.optional}
    assert {name for name in optional if not tensors.INPUTS[name][1]} == set()
