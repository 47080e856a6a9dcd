"""What the package offers, and that importing it does little."""

import subprocess
import sys

import vitrina_client

NAMES = [
    "AsyncTextStream",
    "AsyncVitrina",
    "Attribute",
    "Blocked",
    "Brand",
    "Breach",
    "Bullet",
    "Cancelled",
    "Category",
    "ClientClosed",
    "Conflict",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Edit",
    "Evidence",
    "Fact",
    "Finding",
    "InvalidInput",
    "LabelLine",
    "LabelText",
    "Listing",
    "Message",
    "ModelNotFound",
    "ModelStatus",
    "Moderation",
    "NotOffered",
    "NotReady",
    "Output",
    "Piece",
    "Post",
    "Product",
    "Question",
    "QueueFull",
    "Recommendation",
    "Result",
    "Sampling",
    "Sentence",
    "ServerError",
    "Speech",
    "Statement",
    "Status",
    "StructuredListing",
    "StudioShot",
    "StudioVideo",
    "Tag",
    "TextOptions",
    "TextStream",
    "Timeout",
    "TooLarge",
    "Variants",
    "Vitrina",
    "VitrinaError",
    "Want",
    "__version__",
    "amazon_flat_file",
    "check_fields",
]


def test_the_exported_names_are_these():
    assert vitrina_client.__all__ == NAMES
    public = {name for name in vars(vitrina_client) if not name.startswith("_")}
    assert public == set(NAMES) - {"__version__"}


def test_importing_it_brings_no_transport_and_patches_nothing():
    code = (
        "import sys, socket, threading; before = socket.socket, threading.Thread\n"
        "import vitrina_client\n"
        "print(*sorted({'grpc', 'gevent', 'aiohttp', 'rich', 'urllib3'} & set(sys.modules)))\n"
        "assert before == (socket.socket, threading.Thread)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_client_of_either_scheme_patches_nothing():
    code = (
        "import socket, threading, time; before = socket.socket, threading.Thread, time.sleep\n"
        "from vitrina_client import Vitrina\n"
        "for url in ('grpc://localhost:1', 'http://localhost:1'): Vitrina(url).close()\n"
        "assert before == (socket.socket, threading.Thread, time.sleep)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
