"""What operators do to a stack by accident: a disk runs full, somebody trims a stream. On a stack of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import httpx2
import psutil
import pytest
from running_system import RunningSystem
from shop_events import fresh, purchase
from sqlalchemy import select
from stack_pairs import system_on
from waiting import eventually

from sayso.ledger.schema import outbox
from sayso_subscribers.stream_watch import GROUP, redis_client

pytestmark = pytest.mark.stack

DEADLINE_SECONDS = 120.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    with system_on(("valkey", "sqlite"), tmp_path_factory) as running:
        yield running


def pending(system: RunningSystem, topic: str) -> int:
    """How many entries daprd has in hand and nobody has acknowledged."""
    client = redis_client(system.state.redis_host)
    try:
        return int(client.xpending(topic, GROUP)["pending"])
    finally:
        client.close()


def alerts(system: RunningSystem, kind: str) -> list[str]:
    rows = system.ledger.read(lambda tx: tx.all(select(outbox.c.body).where(outbox.c.topic == "alerts")))
    told = [json.loads(row.body)["data"] for row in rows]
    return [each["reason"] for each in told if each["kind"] == kind]


def test_a_disk_that_is_full_keeps_events_with_the_broker_until_there_is_room(system: RunningSystem) -> None:
    """The kernel lets the process write no more to any file, not even to its log; then it does again."""
    before = purchase(fresh("PO"))
    system.send(before)
    system.settled(before, "started")
    subscribers = system.stack.processes()["subscribers"]
    subscribers.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))
    orders = [purchase(fresh("PO")) for _ in range(20)]
    system.send(*orders)
    metrics = system.state.metrics["subscribers"]
    eventually(
        lambda: "sayso_intake_stopped 1.0" in httpx2.get(metrics, trust_env=False, timeout=10).text,
        DEADLINE_SECONDS,
        "the metrics say that intake has stopped",
    )
    assert pending(system, "purchases") == 20
    assert not [one for one in orders if system.rows(one["id"])]
    assert subscribers.is_running()
    subscribers.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    for one in orders:
        assert system.settled(one, "started", deadline_seconds=DEADLINE_SECONDS).instance_id
    eventually(lambda: pending(system, "purchases") == 0, DEADLINE_SECONDS, "all of them are acknowledged")
    eventually(lambda: alerts(system, "intake-stopped"), DEADLINE_SECONDS, "that it was so is told")
    assert system.stack.processes()["subscribers"].pid == subscribers.pid, "it went on by itself"


def test_a_stream_that_somebody_trims_with_entries_pending_raises_an_alert(system: RunningSystem) -> None:
    """Of what is gone daprd says nothing: it is dropped from the pending entries when daprd claims them again."""
    system.stack.kill("subscribers", signal.SIGSTOP)
    system.send(*(purchase(fresh("PO")) for _ in range(3)))
    eventually(lambda: pending(system, "purchases") == 3, DEADLINE_SECONDS, "daprd has them in hand")
    system.stack.kill("daprd")  # with the bodies that only it still had
    client = redis_client(system.state.redis_host)
    try:
        client.xtrim("purchases", maxlen=0, approximate=False)
    finally:
        client.close()
    system.stack.kill("subscribers", signal.SIGCONT)
    (reason,) = eventually(lambda: alerts(system, "stream-trimmed"), DEADLINE_SECONDS, "the alert")
    assert "stream purchases" in reason
    eventually(lambda: pending(system, "purchases") == 0, DEADLINE_SECONDS, "the entries are forgotten")
    system.stack.wait_ready(2 * DEADLINE_SECONDS)
    after = purchase(fresh("PO"))
    system.send(after)
    system.settled(after, "started", deadline_seconds=DEADLINE_SECONDS)
    assert len(alerts(system, "stream-trimmed")) == 1
