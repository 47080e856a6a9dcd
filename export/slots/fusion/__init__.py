"""The families of fusion."""
