"""Fusion of all modalities, the tags in its space, and what both are worth."""
