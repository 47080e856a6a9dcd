"""Builds the reference catalogue, trains `networks/` on frozen encoder features and writes `weights/` with their cards.

Nothing of it is needed to serve. Each room imports only those above it:

* `common`: where files lie, the training loop, losses, figures
* `catalogue`: the products, rendered from every side, and the words that name them
* `encoders`: the encoders that are not trained here, as they are served, and a trained fusion as one more
* `audio`, `behavior`, `video`: the encoders that are trained here
* `decoders`: of pictures and turntables
* `fusion`: one space of all modalities, and the tags in it
"""
