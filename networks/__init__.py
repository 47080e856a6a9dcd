"""The torch modules that this project defines itself: the fusion of modalities, in five variants.

May import torch only. Trained by `training/`, exported by `export/`; nothing here reads a file.
"""
