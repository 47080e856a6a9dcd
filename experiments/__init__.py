"""What was built and judged, and is not served: a decoder of sonic logos, a frame interpolator."""
