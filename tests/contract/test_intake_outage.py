"""A ledger that cannot commit, as on a full disk: nothing is acknowledged, it is said, and all of it passes by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dapr.ext.grpc import SubscriptionMessage, TopicEventResponse
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError

from sayso.errors import TransientError
from sayso.ledger import Ledger
from sayso.ledger.intake import receive
from sayso.ledger.queries.health import alarms_raised
from sayso.ledger.schema import events, outbox
from sayso.settings import AlarmSettings
from sayso_subscribers.intake_watch import Intake, IntakeWatch
from sayso_subscribers.receive import receiver

SMALL = b"x" * 1_000
LARGE = b"x" * 200_000


class Message(SubscriptionMessage):
    """What daprd hands over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def topic(self) -> str:
        return "purchases"

    def raw_data(self) -> bytes:
        return self._body


class Disk:
    """A database file that may grow no further, by SQLite's own limit: `database or disk is full`, as the real disk says it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pages = 2**30
        event.listen(ledger.engine, "checkout", lambda connection, *_: connection.execute(self._pragma))

    @property
    def _pragma(self) -> str:
        return f"PRAGMA max_page_count = {self._pages}"

    def _limit(self, pages: int) -> None:
        """On every connection that is taken from now on, and on the one that the writer keeps."""
        self._pages = pages
        self._ledger.transact(lambda tx: tx.connection.exec_driver_sql(self._pragma))

    def fill(self) -> None:
        self._limit(int(self._ledger.read(lambda tx: tx.connection.execute(text("PRAGMA page_count")).scalar_one())) + 4)

    def free(self) -> None:
        self._limit(2**30)


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Ledger]:
    opened = Ledger(sqlite_url)
    yield opened
    opened.close()


def answer(handler: Any, body: bytes) -> Any:
    response: TopicEventResponse = handler(Message(body))
    return response.status.name


def alerts(ledger: Ledger) -> list[dict[str, Any]]:
    rows = ledger.read(lambda tx: tx.all(select(outbox).where(outbox.c.topic == "alerts")))
    return [json.loads(row.body)["data"] for row in rows]


def test_a_full_disk_keeps_messages_with_the_broker_and_intake_resumes_when_it_is_free(ledger: Ledger) -> None:
    intake, disk = Intake(), Disk(ledger)
    woken = threading.Event()
    handler = receiver(ledger, woken.set, intake)
    watch = IntakeWatch(ledger, intake, AlarmSettings(disk_free_mib=0))
    assert answer(handler, SMALL) == "success"
    woken.clear()
    disk.fill()
    assert [answer(handler, LARGE), answer(handler, LARGE)] == ["retry", "retry"]
    assert (intake.stopped, intake.refused, woken.is_set()) == (True, 2, False)
    watch.work()
    assert alerts(ledger) == []
    disk.free()
    assert answer(handler, LARGE) == "success"
    assert (intake.stopped, woken.is_set()) == (False, True)
    watch.work()
    watch.work()
    (alert,) = alerts(ledger)
    assert alert["kind"] == "intake-stopped"
    assert "2 deliveries could not be committed and stayed with the broker" in alert["reason"]
    assert "the ledger is not available: database or disk is full" in alert["reason"]
    assert [row.sightings for row in ledger.read(lambda tx: tx.all(select(events)))] == [1, 1]


def test_what_fits_is_still_committed_beside_what_does_not(ledger: Ledger) -> None:
    """One that is too large for what is left takes no other with it."""
    disk = Disk(ledger)
    disk.fill()
    answers = [
        ledger.submit(partial(receive, topic="purchases", original=body)) for body in (LARGE, SMALL, LARGE + b"2", SMALL + b"2")
    ]
    for each in answers:
        each.exception(timeout=30)
    disk.free()
    for body in (LARGE, SMALL, LARGE + b"2", SMALL + b"2"):
        ledger.transact(partial(receive, topic="purchases", original=body))
    assert len(ledger.read(lambda tx: tx.all(select(events)))) == 4


def test_a_disk_that_is_nearly_full_is_told_before_it_is(ledger: Ledger, sqlite_url: str) -> None:
    free_mib = shutil.disk_usage(Path(str(ledger.engine.url.database)).parent).free // 2**20
    intake = Intake()
    low = IntakeWatch(ledger, intake, AlarmSettings(disk_free_mib=free_mib * 2))
    low.work()
    low.work()
    assert [each["kind"] for each in alerts(ledger)] == ["ledger-disk-low"]
    assert "ledger-disk-low" in ledger.read(alarms_raised)
    IntakeWatch(ledger, intake, AlarmSettings(disk_free_mib=1)).work()
    assert ledger.read(alarms_raised) == {}


def test_a_server_that_has_become_read_only_keeps_messages_with_the_broker_until_it_is_written_to_again(postgresql_url: str) -> None:
    """As after a fail-over, while the name still leads to the old server."""
    admin, ledger, intake = Ledger(postgresql_url), Ledger(postgresql_url), Intake()
    handler = receiver(ledger, lambda: None, intake)
    name = ledger.engine.url.database
    try:
        admin.transact(lambda tx: tx.run(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')))
        assert [answer(handler, SMALL), intake.stopped] == ["retry", True]
        with pytest.raises(TransientError, match="read-only"):
            ledger.transact(partial(receive, topic="purchases", original=SMALL))
        admin.transact(lambda tx: tx.run(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off')))
        assert [answer(handler, SMALL), intake.stopped] == ["success", False]
    finally:
        admin.close()
        ledger.close()


@pytest.mark.parametrize(
    ("sqlstate", "passes"),
    [("57P01", True), ("57P02", True), ("57P03", True), ("57P05", True), ("25P03", True), ("25P04", True), ("25P02", False)],
)
def test_an_end_of_the_session_passes_and_a_statement_after_a_failed_one_is_a_bug(
    postgresql_url: str, sqlstate: str, passes: bool
) -> None:
    raising = text(f"DO $$ BEGIN RAISE EXCEPTION 'said' USING ERRCODE = '{sqlstate}'; END $$")
    ledger = Ledger(postgresql_url)
    try:
        with pytest.raises(TransientError if passes else DBAPIError, match="said"):
            ledger.transact(lambda tx: tx.run(raising))
        ledger.transact(partial(receive, topic="purchases", original=SMALL))
    finally:
        ledger.close()


LANE = """
import sys, threading
from datetime import timedelta
from sayso.errors import TransientError
from sayso.lanes import Lane
from sayso.logs import configure_logs
configure_logs("console")
left = ["full", "full", "free"]
done = threading.Event()
def work():
    if left.pop(0) == "full":
        raise TransientError("the ledger is not available: database or disk is full")
    done.set()
    return False
Lane("route", work, timedelta(milliseconds=10)).start()
sys.exit(0 if done.wait(30) else 1)
"""


def test_a_lane_outlives_a_disk_on_which_not_even_its_log_fits() -> None:
    """`/dev/full` is Linux' own full disk."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([sys.executable, "-c", LANE], stdout=full, stderr=full, timeout=60, check=False, env=dict(os.environ))
    assert ended.returncode == 0
