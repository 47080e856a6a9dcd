"""The video encoder: clips of the catalogue, the network that is trained on them, what it is worth."""
