"""Finds Triton (on PATH or in the PyPI wheel), assembles its backends, runs it, says ready and leaves nothing behind.

May import tritonclient, psutil and rich; no other room of the repository. Nothing here is imported by a served model.
"""

from server.errors import ServerFailed
from server.launcher import Server
from server.options import ServerOptions

__all__ = ["Server", "ServerFailed", "ServerOptions"]
