"""The families of item indexes."""
