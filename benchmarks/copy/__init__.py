"""The judge of copy: products, what the server writes of them, and how much of it their facts support.

It must not import the product's own filters (`stages`): their own rules would find no mistake of theirs.
"""
