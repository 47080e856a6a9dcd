"""Sales channels: a structured listing in, the channel's own format out, held to the channel's published rules.

`rules/` has one file a channel. May import the client's errors; no connection, no other room.
"""
