"""The decoders of pictures and turntables, and what they draw, judged."""
