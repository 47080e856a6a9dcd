"""Builds the reference catalogue, trains `networks/` on frozen encoder features and writes `weights/` with their cards.

Commands: `python -m training catalogue | fusion | evaluate`. May import `networks`; nothing of it is needed to serve.
"""
