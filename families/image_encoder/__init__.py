"""The families of image encoders."""
