"""The families of behaviour encoders."""
