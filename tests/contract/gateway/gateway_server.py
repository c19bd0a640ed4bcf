"""A gateway that listens, on a broker in memory that can be away.

In: webhooks.yaml as text, settings. Out: its address, and what it published. Real sockets, the real server; only daprd is not there.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from sayso.correlation.bindings import load_bindings
from sayso.errors import TransientError
from sayso.gateway_settings import GatewaySettings
from sayso.publisher import Message
from sayso.settings import Settings
from sayso.signing.senders import FILE_NAME
from sayso.testing.memory import MemoryPublisher
from sayso_gateway.app import create_app
from sayso_gateway.bridge.sources import load_sources
from sayso_gateway.courier import Courier

ROOT = Path(__file__).parents[3]
START_SECONDS = 20.0


class BrokerThatMayBeAway(MemoryPublisher):
    """A `Publisher`. While it is `away`, nothing is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hold = threading.Event()
        self.hold.set()

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        self.hold.wait(START_SECONDS)
        if self.away:
            raise TransientError("the broker is away")
        return super().publish(topic, messages)


@dataclass(frozen=True)
class Gateway:
    """One that listens."""

    url: str
    broker: BrokerThatMayBeAway
    client: httpx2.Client

    def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx2.Response:
        return self.client.post(path, content=body, headers=dict(headers or {}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def gateway_with(webhooks: str, folder: Path, **settings: Any) -> Iterator[Gateway]:
    """It listens until the block ends."""
    (folder / "webhooks.yaml").write_text(webhooks, encoding="utf-8")
    port = free_port()
    gateway = GatewaySettings.model_validate({"port": port, **settings})
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    configured = Settings(config_dir=folder, state_dir=folder / "state", ledger_url=ledger, gateway=gateway)
    broker = BrokerThatMayBeAway()
    bindings = load_bindings(ROOT / "config" / "bindings.yaml")
    shutil.copy(ROOT / "config" / FILE_NAME, folder)
    app = create_app(
        configured,
        load_sources(configured, bindings),
        bindings,
        Courier(broker, gateway.publish_timeout, gateway.waiting_max),
    )
    server = uvicorn.Server(uvicorn.Config(app, port=port, http="httptools", log_level="warning", server_header=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            yield Gateway(f"http://127.0.0.1:{port}", broker, client)
    finally:
        broker.hold.set()
        server.should_exit = True
        thread.join(START_SECONDS)
