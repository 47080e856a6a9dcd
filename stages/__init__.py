"""Pure functions over bytes and arrays that the python steps of the graph run.

May import numpy and media libraries; never Triton, torch or another room of the repository.
"""
