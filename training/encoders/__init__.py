"""The frozen encoders, what they make of the catalogue, and a trained fusion as one of them."""
