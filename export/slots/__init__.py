"""One module a slot: how a checkpoint becomes what Triton serves.

A single-pass network gives `load` and `sample` (see `export.onnx`); a slot that needs more gives `build`.
"""
