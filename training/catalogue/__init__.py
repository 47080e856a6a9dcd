"""The reference catalogue: its products, their pictures, turntables, studio shots and solids, and their words."""
