"""Ports are nobody else's from the choice until Triton listens."""

from __future__ import annotations

import os
import socket

import pytest

from server.errors import ServerFailed
from server.ports import Ports

WANTED = {"http": 0, "grpc": 0, "metrics": 0}


def test_free_ports_are_held_and_different():
    first, second = Ports("127.0.0.1", WANTED), Ports("127.0.0.1", WANTED)
    numbers = [*first.number.values(), *second.number.values()]
    assert len(set(numbers)) == 6
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", numbers[0]))
    first.release()
    second.release()


def test_what_sets_reuse_as_triton_does_can_listen_on_a_held_port():
    ports = Ports("127.0.0.1", WANTED)
    with socket.create_server(("127.0.0.1", ports.number["http"])) as server:  # sets SO_REUSEADDR
        ports.release()
        with socket.create_connection(server.getsockname()):
            pass


def test_taken_port_names_its_owner():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerFailed, match=rf"grpc port {port} .*pid {os.getpid()}"):
            Ports("127.0.0.1", {"http": 0, "grpc": port})


def test_foreign_address():
    with pytest.raises(ServerFailed, match="--host"):
        Ports("203.0.113.7", {"http": 0})


def test_name_becomes_a_number():
    ports = Ports("localhost", WANTED)
    assert ports.address == "127.0.0.1"
    ports.release()


def test_name_of_nothing():
    with pytest.raises(ServerFailed, match=r"no-such-host\.invalid"):
        Ports("no-such-host.invalid", WANTED)
