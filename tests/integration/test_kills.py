"""kill -9 of every process in the middle of running cases: nothing lost, nothing twice. The stack's supervisor starts it again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from running_system import RunningSystem
from shop_events import Event, decision, fresh, payment, purchase
from shop_events import request as asked
from sqlalchemy import Row, func, select
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

from sayso.ledger.schema import cases, events, outbox

pytestmark = pytest.mark.stack
CASES = 50
SENDING_PAUSE_SECONDS = 0.2
DECISIONS_LATER = 6
PAYMENTS_LATER = 12
KEPT_BACK = 16
END_SECONDS = 120.0
APPROVALS = "approval_workflow"
SHORT = {"SAYSO_APPROVAL__TIMEOUT": "PT10S"}


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def battlefield(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack that these tests may harm."""
    with system_on(request.param, tmp_path_factory, **SHORT) as running:
        yield running


def victims_of(system: RunningSystem) -> list[str]:
    """Everything that is not the database server of the ledger."""
    return ["subscribers", "worker", "scheduler", "daprd", system.state.broker, "partners", "placement"]


class Traffic:
    """Other systems, which go on sending whatever happens: one event at a time, each until the broker has taken it.

    The last events come only after `join` was called, so that cases are open until then.
    """

    def __init__(self, system: RunningSystem, sent: list[Event], kept_back: int) -> None:
        self._system = system
        self._left = list(sent)
        self._kept_back = kept_back
        self._all = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._all.set()
        self._thread.join(END_SECONDS)
        assert self.is_over
        assert not self._left, f"{len(self._left)} events were not sent"

    def _run(self) -> None:
        while self._left:
            if len(self._left) <= self._kept_back:
                self._all.wait()
            self._system.send(self._left[0])
            self._left.pop(0)
            time.sleep(SENDING_PAUSE_SECONDS)  # the pace of this sender; nothing waits for it


def interleaved(orders: list[str]) -> list[Event]:
    """Purchase, decision and payment of each order, with many orders open at the same time; now and then two people decide."""
    sent: list[Event] = []
    for index in range(len(orders) + PAYMENTS_LATER):
        if index < len(orders):
            sent.append(purchase(orders[index]))
            if index % 5 == 0:
                sent.append(decision(order_id=orders[index], by="carol"))
        if 0 <= index - DECISIONS_LATER < len(orders):
            sent.append(decision(order_id=orders[index - DECISIONS_LATER]))
        if 0 <= index - PAYMENTS_LATER < len(orders):
            sent.append(payment(orders[index - PAYMENTS_LATER]))
    return sent


def open_cases(system: RunningSystem) -> int:
    """How many cases have not ended."""
    query = select(func.count()).select_from(cases).where(cases.c.phase != "closed")
    return int(system.ledger.read(lambda tx: tx.run(query).scalar_one()))


def description_of_open_cases(system: RunningSystem) -> str:
    """What holds them up, for whom reads the failure."""
    query = select(cases).where(cases.c.phase != "closed").order_by(cases.c.opened_at_ms)
    lines = [f"{each.name}: {each.status} {each.detail}, {each.restarts} restarts" for each in system.stack.state.processes]
    for case in system.ledger.read(lambda tx: tx.all(query)):
        mine = select(events.c.event_name, events.c.state, events.c.attempts, events.c.reason)
        mine = mine.where(events.c.instance_id == case.instance_id).order_by(events.c.seq)
        rows = system.ledger.read(lambda tx, mine=mine: tx.all(mine))  # type: ignore[misc]
        told = [(row.event_name, row.state, row.attempts, row.reason) for row in rows]
        lines.append(
            f"{case.instance_id}: {case.phase}, {case.stage}, due {case.due_at_ms}, attempts {case.attempts}, {case.last_error}; "
            f"engine: {system.engine_status(case.instance_id)}; events: {told}"
        )
    return "\n".join(lines)


def kill(system: RunningSystem, name: str) -> None:
    """Kill -9, and wait until another one runs and a new case, which asks nobody, begins and ends."""
    before = system.stack.kill(name)
    eventually(lambda: system.stack.process(name).pid not in (before, None), END_SECONDS, f"another {name} was started")
    system.stack.wait_ready(90)
    small = purchase(fresh("PO"), cost=1)
    system.send(small)
    system.closed(small["data"]["order_id"], deadline_seconds=90)


def check_all_ended_well(system: RunningSystem, orders: list[str], sent: list[Event]) -> None:
    """Every case completed, every effect once, every event in a final state, everything published."""
    try:
        eventually(lambda: open_cases(system) == 0, END_SECONDS, "all cases have ended", 0.2)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{description_of_open_cases(system)}") from None
    for order in orders:
        closed = system.closed(order)
        assert closed.outcome == "completed", closed
        assert [kind for kind, _calls in system.effects(order)] == ["orders.placed"]
        assert len(system.cases(order)) == 1
    states = Counter((one["type"], _only(system.rows(one["id"])).state) for one in sent)
    assert states["com.acme.purchase.requested.v1", "started"] == len(orders), states
    assert states["com.acme.payment.captured.v1", "consumed"] == len(orders), states
    assert states["sayso.approval.decided.v1", "consumed"] == len(orders), states
    assert {state for _, state in states} <= {"started", "consumed", "refused", "unclaimed", "late"}, states
    assert sum(states.values()) == len(sent)
    unpublished = select(outbox.c.event_id).where(outbox.c.published_at_ms.is_(None))
    eventually(lambda: not system.ledger.read(lambda tx: tx.all(unpublished)), 30, "an empty outbox")
    outcomes = {one["id"] for one in system.messages("outcomes")}
    assert {f"{system.closed(order).instance_id}:closed" for order in orders} <= outcomes
    unfinished = select(events.c.seq).where(events.c.state.in_(("received", "held", "delivering", "delivered")))
    assert system.ledger.read(lambda tx: tx.all(unfinished)) == []


def _only(rows: list[Row[Any]]) -> Row[Any]:
    assert len(rows) == 1, rows
    return rows[0]


def test_fifty_cases_end_well_although_every_process_is_killed_once(battlefield: RunningSystem) -> None:
    orders = [fresh("PO") for _ in range(CASES)]
    sent = interleaved(orders)
    traffic = Traffic(battlefield, sent, KEPT_BACK)
    eventually(lambda: open_cases(battlefield) >= 2, 20, "cases are open")
    timed = fresh("REQ")
    for name in victims_of(battlefield):
        if name == "scheduler":
            battlefield.send(asked(timed))
            battlefield.waiting_for("approval", timed, APPROVALS)
        assert open_cases(battlefield) > 0, f"no case is open when {name} is killed"
        kill(battlefield, name)
    assert battlefield.closed(timed, APPROVALS).outcome == "timed_out", "its timer waited when the scheduler was killed"
    traffic.join()
    check_all_ended_well(battlefield, orders, sent)
    restarts = {name: battlefield.stack.process(name).restarts for name in victims_of(battlefield)}
    assert all(restarts.values()), restarts


def test_cases_end_well_although_everything_is_killed_at_once(battlefield: RunningSystem) -> None:
    orders = [fresh("PO") for _ in range(10)]
    sent = interleaved(orders)
    traffic = Traffic(battlefield, sent, KEPT_BACK)
    eventually(lambda: open_cases(battlefield) >= 2, 20, "cases are open")
    before = {name: battlefield.stack.kill(name) for name in victims_of(battlefield)}
    for name, pid in before.items():
        eventually(lambda name=name, pid=pid: battlefield.stack.process(name).pid not in (pid, None), END_SECONDS, name)  # type: ignore[misc]
    battlefield.stack.wait_ready(90)
    traffic.join()
    check_all_ended_well(battlefield, orders, sent)
