"""The audio encoder: spoken titles, the head that is trained on them, what it is worth."""
