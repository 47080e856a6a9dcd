"""The behaviour encoder: simulated sessions, the network that is trained on them, what it is worth."""
