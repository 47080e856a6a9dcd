"""The families of video encoders."""
