"""Client of a Vitrina server: product titles and photos in, listing content and speech out, over gRPC or HTTP.

May import tritonclient, numpy and what those bring (grpc, urllib3, aiohttp); rich only in the command; no other room.
"""

from vitrina_client._client import AsyncTextStream, AsyncVitrina, TextStream, Vitrina
from vitrina_client._errors import (
    Cancelled,
    ClientClosed,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    NotReady,
    QueueFull,
    ServerError,
    TooLarge,
    VitrinaError,
)
from vitrina_client._timeout import Timeout
from vitrina_client._types import (
    Edit,
    Listing,
    Message,
    ModelStatus,
    Output,
    Piece,
    Post,
    Product,
    Recommendation,
    Result,
    Sampling,
    Speech,
    Status,
    StudioShot,
    Tag,
    TextOptions,
    Want,
)
from vitrina_client._version import __version__

__all__ = [
    "AsyncTextStream",
    "AsyncVitrina",
    "Cancelled",
    "ClientClosed",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Edit",
    "InvalidInput",
    "Listing",
    "Message",
    "ModelNotFound",
    "ModelStatus",
    "NotReady",
    "Output",
    "Piece",
    "Post",
    "Product",
    "QueueFull",
    "Recommendation",
    "Result",
    "Sampling",
    "ServerError",
    "Speech",
    "Status",
    "StudioShot",
    "Tag",
    "TextOptions",
    "TextStream",
    "Timeout",
    "TooLarge",
    "Vitrina",
    "VitrinaError",
    "Want",
    "__version__",
]
