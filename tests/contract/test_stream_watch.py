"""A stream that loses entries which nobody had acknowledged raises an alert; one that loses only acknowledged ones does not."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from valkey.exceptions import ValkeyError

from sayso.ledger import Ledger
from sayso.ledger.schema import outbox
from sayso.stack.ports import Ports
from sayso.stack.valkey import valkey
from sayso_subscribers.stream_watch import GROUP, StreamWatch, redis_client

DEADLINE_SECONDS = 30.0
STREAM = "payments"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey on a free port."""
    folder = tmp_path_factory.mktemp("valkey")
    spec = valkey(Ports(str(folder), use_defaults=False).take(), folder)
    server = subprocess.Popen(spec.command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(spec.address)
        yield spec.address
    finally:
        server.terminate()
        server.wait(DEADLINE_SECONDS)


def _wait_for(address: str) -> None:
    client = redis_client(address)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            client.ping()
            break
        except ValkeyError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    client.close()


class Broker:
    """A stream with ten events, of which daprd has five in hand, and the watch over it."""

    def __init__(self, client: Any, ledger: Ledger) -> None:
        self.client = client
        self.ledger = ledger
        client.flushall()
        self.ids = [client.xadd(STREAM, {"data": b"%d" % number}, id=f"{number + 1}-0") for number in range(10)]
        client.xgroup_create(STREAM, GROUP, id="0")
        self.take(5)
        self.watch = self.watcher()

    def watcher(self) -> StreamWatch:
        return StreamWatch(self.client, [STREAM, "purchases"], self.ledger, lambda: None)

    def take(self, count: int) -> None:
        self.client.xreadgroup(GROUP, GROUP, {STREAM: ">"}, count=count)

    def acknowledge(self, *numbers: int) -> None:
        for number in numbers:
            self.client.xack(STREAM, GROUP, self.ids[number])

    def trim(self, first_kept: int) -> None:
        self.client.xtrim(STREAM, minid=f"{first_kept + 1}-0", approximate=False)

    def alerts(self, watch: StreamWatch | None = None) -> list[str]:
        """The reasons of all alerts after one more look."""
        (watch or self.watch).work()
        rows = self.ledger.read(lambda tx: tx.all(select(outbox).order_by(outbox.c.seq)))
        return [json.loads(row.body)["data"]["reason"] for row in rows if row.topic == "alerts"]


@pytest.fixture
def broker(address: str, sqlite_url: str) -> Iterator[Broker]:
    client = redis_client(address)
    ledger = Ledger(sqlite_url)
    yield Broker(client, ledger)
    ledger.close()
    client.close()


def test_streams_that_nobody_trims_are_quiet(broker: Broker) -> None:
    assert broker.alerts() == broker.alerts(broker.watcher()) == []


def test_what_was_acknowledged_may_be_trimmed(broker: Broker) -> None:
    broker.alerts()
    broker.acknowledge(0, 1, 2)
    broker.alerts()
    broker.trim(2)
    assert broker.alerts() == broker.alerts(broker.watcher()) == []
    broker.take(10)
    broker.acknowledge(*range(10))
    broker.alerts()
    broker.client.xtrim(STREAM, maxlen=0, approximate=False)
    assert broker.alerts() == broker.alerts(broker.watcher()) == []


def test_entries_in_hand_that_are_trimmed_are_told_once(broker: Broker) -> None:
    broker.trim(3)
    (reason,) = broker.alerts()
    assert reason.endswith("3 were in hand, the oldest is 1-0")
    assert len(broker.alerts()) == len(broker.alerts(broker.watcher())) == 1
    broker.trim(5)
    assert len(broker.alerts()) == 2


def test_an_entry_in_hand_that_is_deleted_is_told(broker: Broker) -> None:
    broker.client.xdel(STREAM, broker.ids[2])
    (reason,) = broker.alerts()
    assert "1 were in hand, the oldest is 3-0" in reason


def test_entries_that_nobody_had_read_are_told(broker: Broker) -> None:
    broker.acknowledge(*range(5))
    broker.trim(7)
    (reason,) = broker.alerts(broker.watcher())
    assert reason.endswith("2 that nobody had read")


def test_an_unread_entry_that_is_deleted_is_told(broker: Broker) -> None:
    broker.client.xdel(STREAM, broker.ids[7])
    (reason,) = broker.alerts(broker.watcher())
    assert reason.endswith("one that nobody had read was deleted")


def test_what_is_gone_from_the_list_of_pending_entries_too_is_told(broker: Broker) -> None:
    """As daprd claims it again: the server drops it without a word, and only who looked before can know."""
    assert broker.alerts() == []
    broker.trim(8)
    broker.client.xclaim(STREAM, GROUP, GROUP, 0, broker.ids[:5])
    assert broker.client.xpending(STREAM, GROUP)["pending"] == 0
    broker.take(10)
    (reason,) = broker.alerts()
    assert "1-0 and perhaps later ones, which were not acknowledged a moment before" in reason


def test_a_stream_that_is_deleted_is_told(broker: Broker) -> None:
    assert broker.alerts() == []
    broker.client.delete(STREAM)
    (reason,) = broker.alerts()
    assert "the stream was deleted" in reason
    assert len(broker.alerts()) == 1


def test_a_broker_that_is_away_ends_nothing(sqlite_url: str, tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url)
    client = redis_client(f"127.0.0.1:{Ports(str(tmp_path), use_defaults=False).take()}")
    try:
        assert StreamWatch(client, [STREAM], ledger, lambda: None).work() is False
    finally:
        client.close()
        ledger.close()
