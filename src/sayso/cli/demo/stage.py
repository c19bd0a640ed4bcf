"""What the demo's steps stand on: publishing as another system, waiting for conditions in the ledger, telling what happened.

Invariant: nothing is believed because it was sent; every line that says that something happened was read from the ledger or the topic.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from rich.console import Console
from rich.text import Text

from sayso.cli.demo.broker import BrokerClient
from sayso.cli.demo.payment_system import PaymentSystem
from sayso.cli.event_files import members
from sayso.cli.json_text import compact
from sayso.cli.output import printable
from sayso.contracts.cloudevent import IncomingEvent, format_event, parse_event
from sayso.errors import SaysoError, TransientError
from sayso.ledger import Ledger
from sayso.ledger.database import Transaction
from sayso.ledger.queries.cases import find_cases
from sayso.ledger.queries.events import event_by_identity, find_outgoing
from sayso.ledger.queries.views import CaseView, EventView, OutgoingView
from sayso.publisher import Message, Publisher

T = TypeVar("T")
DEADLINE_SECONDS = 45.0
POLL_SECONDS = 0.02
JSON_WIDTH = 400


class MissedError(SaysoError):
    """Something that the story needs did not happen in time."""


@dataclass
class Stage:
    """One performance. `told` collects the steps for `--json`."""

    console: Console
    ledger: Ledger
    publisher: Publisher
    broker: BrokerClient | None
    sign: Callable[[str, bytes, CaseView], bytes] = lambda _topic, body, _case: body
    """What another system does with its decision about a case before it publishes it."""
    payment_system: PaymentSystem | None = None
    """Where the stack has a gateway that it can send webhooks to."""
    told: list[dict[str, Any]] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """Begin a step."""
        self.told.append({"step": text, "happened": []})
        self.console.print(Text.assemble("\n", (f"{len(self.told)}. {text}", "bold")))

    def happened(self, text: str, seconds: float | None = None) -> None:
        """Something came true, after that long."""
        self.told[-1]["happened"].append({"what": text, "seconds": None if seconds is None else round(seconds, 3)})
        took = f"{seconds * 1000:6.0f} ms  " if seconds is not None else " " * 11
        self.console.print(Text.assemble("   ", ("✓ ", "green"), (took, "dim"), printable(text)))

    def event(self, body: bytes) -> None:
        """The event itself, on one line: its type, where it comes from, and what it says."""
        event, data = parse_event(body), (members(body.decode()) or {}).get("data", "null")
        line = f"{event.type} from {event.source}: {compact(data, JSON_WIDTH)}"
        self.console.print(Text(f"     {printable(line)}", "dim"))

    def publish(self, topic: str, key: str, body: bytes, *, show: bool = True) -> float:
        """Put the event on its topic as another system would; returns the moment."""
        sent_at = time.monotonic()
        if self.broker is not None:
            self.broker.write(topic, key, body)
        else:
            failed = self.publisher.publish(topic, [Message(0, key, body)])
            if failed:
                raise TransientError(f"not published on {topic}: {failed[0]}")
        if show:
            self.event(body)
        return sent_at

    def wait(self, what: str, probe: Callable[[Transaction], T | None], since: float) -> tuple[T, float]:
        """Ask the ledger until `probe` finds something; `MissedError` names what was missing. Gives it, and how long it took."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = self.ledger.read(probe)
            if found is not None:
                return found, time.monotonic() - since
            time.sleep(POLL_SECONDS)
        raise MissedError(f"missing after {DEADLINE_SECONDS:.0f} s: {what}; see: sayso status, sayso events, sayso logs")

    def event_in(self, event: IncomingEvent, states: tuple[str, ...], since: float) -> tuple[EventView, float]:
        """Wait until the event is in one of these states."""
        name = f"event {event.id} ({event.type}) {' or '.join(states)}"
        return self.wait(name, partial(_event_in, identity=event.identity, states=states), since)

    def case_in(self, key: str, ready: Callable[[CaseView], bool], what: str, since: float) -> tuple[CaseView, float]:
        """Wait until the purchase order's case is as `ready` says."""
        return self.wait(f"case {key} {what}", partial(_case_in, key=key, ready=ready), since)

    def published(self, event_id: str, since: float) -> tuple[OutgoingView, float]:
        """Wait until Sayso has published this event."""
        return self.wait(f"event {event_id} published", partial(_published, event_id=event_id), since)


def foreign_event(source: str, event_type: str, data: dict[str, Any]) -> tuple[IncomingEvent, bytes]:
    """An event of another system."""
    body = format_event(event_id=str(uuid4()), source=source, event_type=event_type, data=data, time=datetime.now(UTC))
    return parse_event(body), body


def _event_in(tx: Transaction, identity: str, states: tuple[str, ...]) -> EventView | None:
    event = event_by_identity(tx, identity)
    return event if event is not None and event.state in states else None


def _case_in(tx: Transaction, key: str, ready: Callable[[CaseView], bool]) -> CaseView | None:
    found = find_cases(tx, key, "purchase_order_workflow")
    return found[0] if found and ready(found[0]) else None


def _published(tx: Transaction, event_id: str) -> OutgoingView | None:
    found = find_outgoing(tx, event_id)
    return found if found is not None and found.published_at is not None else None
