"""The families of taggers."""
