"""A running stack as the outside sees it, and its ledger as the witness of what became of each event.

In: a `StackHandle`. Out: sends through the broker itself, waits for states, reads effects. Nothing here writes to the ledger.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from shop_events import Event, decision, encoded, payment, purchase, requests_made, topic_of
from sqlalchemy import Row, select
from waiting import eventually

from sayso.contracts.catalog import EVENT_TYPES
from sayso.contracts.engine_ids import engine_id
from sayso.engine import DaprEngine
from sayso.errors import TransientError
from sayso.ledger import Ledger
from sayso.ledger.planning import current_document
from sayso.ledger.schema import cases, events, tasks
from sayso.notices.notice_file import FILE_NAME, SeenNotice, read_notices
from sayso.testing.demo_signer import DemoSigner
from sayso.testing.foreign_client import CONTENT_TYPE, foreign_client_of
from sayso.testing.stack import StackHandle

PURCHASES = "purchase_order_workflow"
DEADLINE_SECONDS = 20.0


class RunningSystem:
    """Close it before its stack stops."""

    def __init__(self, stack: StackHandle) -> None:
        state = stack.state
        self.stack = stack
        self.state = state
        self.ledger = Ledger(state.ledger_url)
        self.broker = foreign_client_of(state)
        self.signer = DemoSigner.of(stack.options)
        self._written = 0
        self.engine = DaprEngine(timedelta(seconds=10), "127.0.0.1", state.dapr_grpc_port)
        self._http = httpx2.Client(timeout=10, trust_env=False)

    def close(self) -> None:
        self._http.close()
        self.broker.close()
        self.ledger.close()

    # What other systems do.

    def send(self, *events: Event) -> None:
        """Write events to the broker, past Dapr, each to the topic of its type."""
        for one in events:
            self.broker.send(topic_of(one), self.written(one))

    def written(self, one: Event) -> bytes:
        """Its bytes, signed by the demo sender if it is a decision; from then on the event has that signature."""
        self._written, written = requests_made(self._written)
        for asked in written:
            self.signer.note(topic_of(asked), encoded(asked))
        if one.get("type") not in EVENT_TYPES:
            return encoded(one)
        case = self._later_case_of(one)
        one.update(json.loads(self.signer.sign(topic_of(one), encoded(one), case)))
        return encoded(one)

    def _later_case_of(self, one: Event) -> str | None:
        """A decision for another case than the first of its key has to name it. It is about the request as its case has it now."""
        data = one["data"] if isinstance(one["data"], dict) else {}
        keys = [str(data[name]) for name in ("order_id", "request_id", "task_id", "key") if name in data]
        waiting = [case for key in keys for case in self.cases(key) if case.phase != "closed"]
        for case in waiting:
            self.signer.remember(case.workflow, case.key, current_document(case)["request"])
        open_later = [case.instance_id for case in waiting if case.generation > 1]
        return open_later[0] if open_later else None

    def send_unsigned(self, *events: Event) -> None:
        """The same as they are: a forger's."""
        for one in events:
            self.broker.send(topic_of(one), encoded(one))

    def publish(self, one: Event) -> None:
        """Publish an event through daprd's HTTP API, as an app with a sidecar does."""
        url = f"http://127.0.0.1:{self.state.dapr_http_port}/v1.0/publish/pubsub/{topic_of(one)}"
        self._http.post(url, content=self.written(one), headers={"content-type": CONTENT_TYPE}).raise_for_status()

    def metadata(self) -> dict[str, Any]:
        """What daprd says of itself."""
        answer = self._http.get(f"http://127.0.0.1:{self.state.dapr_http_port}/v1.0/metadata")
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """The CloudEvents that the topic carries, read from the broker itself."""
        return [json.loads(body) for body in self.broker.read(topic)]

    def messages_about(self, topic: str, key: str) -> list[dict[str, Any]]:
        """Those of them whose data names this business key."""
        return [one for one in self.messages(topic) if key in (one["data"].get("key"), one["data"].get("order_id"))]

    def dead_letters(self, *, seq: int) -> list[dict[str, Any]]:
        """The dead letters of one row, each once for each time that it is on the topic."""
        return [one for one in self.messages("deadletters") if one["saysoseq"] == seq]

    # What became of it.

    def rows(self, event_id: str) -> list[Row[Any]]:
        """Every row of events with this CloudEvents id, oldest first."""
        query = select(events).where(events.c.event_id == event_id).order_by(events.c.seq)
        return self.ledger.read(lambda tx: tx.all(query))

    def row(self, event_id: str) -> Row[Any]:
        """The one row of this event."""
        (row,) = self.rows(event_id)
        return row

    def rows_of_bytes(self, topic: str, body: bytes) -> list[Row[Any]]:
        """The rows of exactly these bytes."""
        query = select(events).where(events.c.topic == topic, events.c.original == body)
        return self.ledger.read(lambda tx: tx.all(query))

    def rows_of_case(self, key: str, workflow: str = PURCHASES) -> list[Row[Any]]:
        """The rows of all events of this key, in the ledger's order."""
        query = select(events).where(events.c.workflow == workflow, events.c.key == key).order_by(events.c.seq)
        return self.ledger.read(lambda tx: tx.all(query))

    def settled(self, one: Event, *states: str, deadline_seconds: float = DEADLINE_SECONDS) -> Row[Any]:
        """The event's one row, once it is in one of these states."""

        def reached() -> Row[Any] | None:
            rows = self.rows(one["id"])
            return rows[0] if len(rows) == 1 and rows[0].state in states else None

        try:
            return eventually(reached, deadline_seconds, f"{one['type']} {one['id']} is {' or '.join(states)}")
        except AssertionError as error:
            seen = [(row.state, row.reason, row.attempts) for row in self.rows(one["id"])]
            raise AssertionError(f"{error}; its rows: {seen}") from None

    def case(self, key: str, workflow: str = PURCHASES) -> Row[Any] | None:
        """The latest case of this key."""
        query = select(cases).where(cases.c.workflow == workflow, cases.c.key == key).order_by(cases.c.generation.desc())
        return self.ledger.read(lambda tx: tx.one(query))

    def cases(self, key: str) -> list[Row[Any]]:
        """All cases of this key, of every workflow."""
        return self.ledger.read(lambda tx: tx.all(select(cases).where(cases.c.key == key)))

    def waiting_for(self, stage: str, key: str, workflow: str = PURCHASES) -> Row[Any]:
        """The case, once it runs and waits for this: `approval`, `payment`."""

        def waits() -> Row[Any] | None:
            case = self.case(key, workflow)
            return case if case is not None and case.phase == "running" and case.stage == f"waits for {stage}" else None

        return eventually(waits, DEADLINE_SECONDS, f"{workflow} {key} waits for {stage}; it is {self.case(key, workflow)}")

    def closed(self, key: str, workflow: str = PURCHASES, deadline_seconds: float = DEADLINE_SECONDS) -> Row[Any]:
        """The case, once the ledger and the engine both say that it has ended."""

        def ended() -> Row[Any] | None:
            case = self.case(key, workflow)
            return case if case is not None and case.phase == "closed" else None

        try:
            case = eventually(ended, deadline_seconds, f"{workflow} {key} has ended")
        except AssertionError as error:
            raise AssertionError(f"{error}; the case: {self.case(key, workflow)}") from None
        instance = engine_id(case.instance_id, case.run)
        eventually(lambda: self.engine_status(instance) == "COMPLETED", deadline_seconds, f"{instance} COMPLETED")
        return case

    def engine_status(self, instance_id: str) -> str | None:
        """How the engine sees the instance."""
        try:
            state = self.engine.state(instance_id)
        except TransientError:  # "inbox key missing": for a moment, while the instance runs (test_dapr_facts.py)
            return None
        return state.status if state else None

    def task(self, instance_id: str) -> Row[Any] | None:
        """The approval task of this case."""
        return self.ledger.read(lambda tx: tx.one(select(tasks).where(tasks.c.instance_id == instance_id)))

    def outcome(self, key: str) -> dict[str, Any]:
        """The one outcome event of this key, from the topic."""
        eventually(lambda: self.messages_about("outcomes", key), DEADLINE_SECONDS, f"an outcome of {key} on the topic")
        found = {one["id"]: one for one in self.messages_about("outcomes", key)}
        (outcome,) = found.values()
        return outcome

    def effects(self, subject: str) -> list[tuple[str, int]]:
        """What the partner service truly did to this order, request or task: (kind, how often its key was sent)."""
        answer = self._http.get(f"{self.state.partners_url}/effects", params={"subject": subject})
        return [(effect["kind"], effect["calls"]) for effect in answer.raise_for_status().json()["effects"]]

    def effect_bodies(self, subject: str) -> list[dict[str, Any]]:
        """What the partner service was sent for each of them."""
        answer = self._http.get(f"{self.state.partners_url}/effects", params={"subject": subject})
        return [effect["body"] for effect in answer.raise_for_status().json()["effects"]]

    def notices(self, instance_id: str) -> list[SeenNotice]:
        """The notices of this case that have reached the notice file."""
        path = Path(self.state.state_dir) / FILE_NAME
        return [seen for seen in read_notices(path) if seen.notice.notice_id.startswith(f"{instance_id}/")]

    # Ways that many tests begin with.

    def open_purchase(self, order_id: str, **fields: Any) -> Row[Any]:
        """An order that waits for its approval."""
        self.send(purchase(order_id, **fields))
        return self.waiting_for("approval", order_id)

    def approve_purchase(self, order_id: str, by: str = "bob") -> Row[Any]:
        """An order that waits for its payment."""
        self.send(decision(order_id=order_id, by=by))
        return self.waiting_for("payment", order_id)

    def pay_purchase(self, order_id: str) -> Row[Any]:
        """An order that is paid: its case has ended."""
        self.send(payment(order_id))
        return self.closed(order_id)
