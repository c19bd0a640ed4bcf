"""Short ways to say what happens to a ledger: a purchase comes, is decided, paid, closed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Table, select, update

from sayso.contracts.dead_letter import Marks
from sayso.contracts.workflow_io import RECORDED_AT, CaseInput, CaseRef, Closing, DeadlineInput, StepInput
from sayso.correlation.bindings import Bindings, load_bindings
from sayso.correlation.correlate import correlate
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.cases import Rules
from sayso.ledger.driving import Job, lease_jobs, settle
from sayso.ledger.intake import receive
from sayso.ledger.routing import due_events, expire, route
from sayso.ledger.schema import audit, cases, events, outbox, tasks
from sayso.ledger.states import EventState
from sayso.ledger.steps import complete_step, confirm_deadline
from sayso.settings import Settings

PROJECT = Path(__file__).parents[3]
BINDINGS = load_bindings(PROJECT / "config" / "bindings.yaml")
PURCHASE, WITHDRAWAL = "com.acme.purchase.requested.v1", "com.acme.purchase.withdrawn.v1"
DECISION, PAYMENT, PAYMENT_FAILURE = (
    "sayso.approval.decided.v1",
    "com.acme.payment.captured.v1",
    "com.acme.payment.failed.v1",
)
WORKFLOW = "purchase_order_workflow"
NUMBERS = count(1)


def cloudevent(kind: str, data: Any, event_id: str | None = None, source: str = "/shop", **more: Any) -> bytes:
    """The bytes of one event; without `event_id` a new one."""
    event_id = event_id or f"event-{next(NUMBERS)}"
    return json.dumps({"specversion": "1.0", "id": event_id, "source": source, "type": kind, "data": data} | more).encode()


def purchase(key: str = "PO-1", **changed: Any) -> dict[str, Any]:
    order = {"order_id": key, "cost": 1200, "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
    return order | changed


class World:
    """A ledger with the shipped bindings and settings."""

    def __init__(self, ledger: Ledger, bindings: Bindings = BINDINGS, settings: Settings | None = None) -> None:
        self.ledger = ledger
        self.bindings = bindings
        self.rules = Rules(settings or Settings(), read_ledger_id(ledger))

    def receive(self, topic: str, original: bytes) -> None:
        self.ledger.transact(partial(receive, topic=topic, original=original))

    def route_one(self, seq: int, topic: str, original: bytes) -> EventState | None:
        verdict = correlate(self.bindings, topic, original)
        return self.ledger.transact(partial(route, seq=seq, verdict=verdict, rules=self.rules))

    def route(self) -> list[EventState | None]:
        """Route whatever is due, once."""
        states = []
        for event in self.ledger.read(partial(due_events, limit=1_000)):
            if event.state is EventState.HELD:
                states.append(self.ledger.transact(partial(expire, seq=event.seq)))
            else:
                states.append(self.route_one(event.seq, event.topic, event.original))
        return states

    def send(self, topic: str, kind: str, data: Any, event_id: str | None = None, **more: Any) -> EventState | None:
        """One event comes and is routed."""
        self.receive(topic, cloudevent(kind, data, event_id, **more))
        (state,) = self.route()
        return state

    def buy(self, key: str = "PO-1", event_id: str | None = None, **changed: Any) -> EventState | None:
        return self.send("purchases", PURCHASE, purchase(key, **changed), event_id)

    def decide(self, key: str = "PO-1", approver: str = "bob", *, approved: bool = True) -> EventState | None:
        return self.send("approvals", DECISION, {"order_id": key, "approved": approved, "approver": approver})

    def pay(self, key: str = "PO-1", amount: float = 1200, **more: Any) -> EventState | None:
        return self.send("payments", PAYMENT, {"order_id": key, "amount": amount, "currency": "EUR"} | more)

    def rows(self, table: Table) -> list[Row[Any]]:
        order = table.c.seq if "seq" in table.c else next(iter(table.primary_key.columns))
        return self.ledger.read(lambda tx: tx.all(select(table).order_by(order)))

    @property
    def events(self) -> list[Row[Any]]:
        return self.rows(events)

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.events]

    @property
    def case(self) -> Row[Any]:
        """The one case."""
        (found,) = self.rows(cases)
        return found

    @property
    def ref(self) -> CaseRef:
        return CaseInput.model_validate_json(self.case.input).case

    @property
    def task(self) -> Row[Any]:
        (found,) = self.rows(tasks)
        return found

    @property
    def audit_actions(self) -> list[str]:
        return [row.action for row in self.rows(audit)]

    @property
    def published(self) -> list[tuple[str, dict[str, Any]]]:
        """Topic and data of everything in the outbox."""
        return [(row.topic, json.loads(row.body).get("data")) for row in self.rows(outbox)]

    @property
    def dead_letters(self) -> list[dict[str, Any]]:
        """What the dead letters say of their events, by `Marks`' names."""
        return [vars(Marks.of(letter)) for letter in self.whole_dead_letters]

    @property
    def whole_dead_letters(self) -> list[dict[str, Any]]:
        """The dead letters as they are on the topic."""
        return [json.loads(row.body) for row in self.rows(outbox) if row.topic == "deadletters"]

    def lease(self, lease_ms: int = 20_000, limit: int = 100) -> list[Job]:
        return self.ledger.transact(partial(lease_jobs, lease_ms=lease_ms, limit=limit))

    def settle(self, job: Job, error: str | None = None, raised: int | None = None, delay_ms: int = 0) -> bool:
        """Record that the engine took the job: all of its events, or the first `raised`."""
        seqs = [event.seq or 0 for event in job.events][:raised]
        done = partial(settle, job=job, started=job.start, raised=seqs, error=error, delay_ms=delay_ms)
        return self.ledger.transact(done)

    def drive(self) -> None:
        """Everything due is taken by the engine."""
        for job in self.lease():
            self.settle(job)

    def step(self, name: str, result: dict[str, Any] | None = None, ref: CaseRef | None = None, **record: Any) -> dict[str, Any]:
        """The step's result, without the time at which it was recorded."""
        step = StepInput(case=ref or self.ref, step=name, **record)
        done = self.ledger.transact(partial(complete_step, step=step, result=result or {}))
        return {name: value for name, value in done.items() if name != RECORDED_AT}

    def close(self, outcome: str = "completed", result: Any = "done", **record: Any) -> dict[str, Any]:
        closing = Closing.model_validate({"outcome": outcome, "result": result})
        return self.step("close_case", closing=closing, **record)

    def confirm_deadline(self, deadline: datetime, *waited_for: str, handled: tuple[int, ...] = ()) -> int:
        asked = DeadlineInput(case=self.ref, deadline=deadline, waited_for=list(waited_for), handled=list(handled))
        answer = self.ledger.transact(partial(confirm_deadline, asked=asked))
        return int(answer["pending"])

    def change(self, table: Table, **values: Any) -> None:
        """What only time or an accident can do: write `values` into every row of `table`."""
        self.ledger.transact(lambda tx: tx.run(update(table).values(**values)))

    def let_time_pass(self, span: timedelta) -> None:
        """Everything that is scheduled comes nearer by `span`."""
        moved = int(span.total_seconds() * 1000)
        for table in (events, cases, outbox):
            self.change(table, due_at_ms=table.c.due_at_ms - moved)
