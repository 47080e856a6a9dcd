"""Recipe → checkpoint → ONNX → parity report → TensorRT → `model_repository/`.

`pipeline.py` is the one description of the graph. May import `networks` and read `recipes`; never a serving room.
"""
