"""Continuous batching for the text decoder: slots, KV cache, sampling and stop rules behind one thread.

May import numpy, onnxruntime, tokenizers and `stages.errors`; never Triton, torch or another room of the repository.
"""
