"""The one description of what is served: tensors, models, and the ensembles that chain them. Imports no other room.

Every `config.pbtxt` under `model_repository/` is rendered from here (`python -m export configs`), the ONNX export takes
its dynamic axes from here, and TensorRT its profiles. A new modality is an entry in `modalities.MODALITIES` and its
models.
"""
