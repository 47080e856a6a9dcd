"""Measures the bundle as its users meet it: load, overhead, decoding, and whether the photo matters.

May import `client`; for the raw side of a comparison also `stages` and `decoding`. Every figure in the README was
printed by a command of this room.
"""
