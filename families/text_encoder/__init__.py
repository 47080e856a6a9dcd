"""The families of text encoders."""
