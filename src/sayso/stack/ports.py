"""Ports of the local stack.

In: the usual port of a service. Out: that port when it is free on 127.0.0.1, otherwise one that is.
Invariant: no port is given out twice, not to two stacks of one user that start together either, and none comes from the range in
which the kernel picks ports of outgoing connections, so that a process that crashed finds its port free again.
"""

from __future__ import annotations

import fcntl
import os
import socket
import weakref
import zlib
from collections.abc import Iterator

from platformdirs import user_cache_path

HOST = "127.0.0.1"
FREE_PORTS = range(20_000, 32_000)


class PortsExhaustedError(RuntimeError):
    """Every port of the range is taken: something on this machine leaks listeners."""


class Ports:
    """Gives out ports of one stack.

    `seed` (the state folder) decides where the search begins, so that stacks that start together seldom meet.
    Without `use_defaults` every port is a searched one: for stacks of tests beside a person's own.
    """

    def __init__(self, seed: str, *, use_defaults: bool = True) -> None:
        self._use_defaults = use_defaults
        self._taken: set[int] = set()
        self.moved: dict[int, int] = {}
        """Usual port → the one that was given out in its place."""
        self._held: list[int] = []
        weakref.finalize(self, _let_go, self._held)
        start = zlib.crc32(seed.encode()) % len(FREE_PORTS)
        self._search: Iterator[int] = iter([*FREE_PORTS[start:], *FREE_PORTS[:start]])

    def take(self, default: int | None = None) -> int:
        """A port that is free now and was not given out before."""
        if default is not None and self._use_defaults and self._claim(default):
            return default
        for port in self._search:
            if self._claim(port):
                if default is not None and self._use_defaults:
                    self.moved[default] = port
                return port
        raise PortsExhaustedError(f"no free port between {FREE_PORTS.start} and {FREE_PORTS.stop - 1} on {HOST}")

    def _claim(self, port: int) -> bool:
        if port in self._taken or not is_free(port) or not self._hold(port):
            return False
        self._taken.add(port)
        return True

    def _hold(self, port: int) -> bool:
        """Keep it from our other stacks, which would find it free until our server listens; the kernel ends that with this process."""
        folder = user_cache_path("sayso") / "ports"
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held.append(descriptor)
        return True


def _let_go(held: list[int]) -> None:
    for descriptor in held:
        os.close(descriptor)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a stack that has just stopped linger for a minute; they do not hinder a new server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
