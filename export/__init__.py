"""Recipe → checkpoint → ONNX → parity report → TensorRT → `model_repository/`.

May import `graph` and `families` and read `recipes`; never a serving room.
"""
