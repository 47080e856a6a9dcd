"""The judge of copy: products, what the server writes of them, and how much of it their facts support.

It must not import the product's own filters (`stages`): what judges them with their own rules finds no mistake of theirs.
"""
