"""One saga run: a stack of its own, the sagas of many seeds in flight, the worker killed between steps; then the partner's books.

In: seeds. Out: `Result` with everything that is wrong.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
from sqlalchemy import Row, Select, select

from sayso.contracts.catalog import EVENT_TYPES
from sayso.ledger import Ledger
from sayso.ledger.schema import cases, compensations, events
from sayso.stack.state import Broker, LedgerKind
from sayso.testing.foreign_client import ForeignClient, foreign_client_of
from sayso.testing.saga_run.books import Account, wrong_with
from sayso.testing.saga_run.fates import KINDS, Fate, fates_of
from sayso.testing.saga_run.kills import PAUSE_SECONDS, Killer
from sayso.testing.stack import running_stack

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "SAYSO_SAGA__RETRIES__FIRST_INTERVAL": "PT0.2S",
        "SAYSO_SAGA__RETRIES__ATTEMPTS": "3",
        "SAYSO_SAGA__UNDO_RETRIES__FIRST_INTERVAL": "PT0.2S",
        "SAYSO_SAGA__UNDO_RETRIES__ATTEMPTS": "4",
        "PARTNERS_DELAY_MS": "60",
    }
)
END_SECONDS = 240.0
PAID = "com.acme.payment.captured.v1"
UNDOS = (
    "delete_task_record",
    "release_assignee_capacity",
    "send_cancellation_notice",
    "release_inventory",
    "refund_payment",
    "cancel_shipment",
    "cancel_flight",
    "cancel_hotel",
    "cancel_car",
)
BOUNDARIES = (*(step for kind in KINDS.values() for step, _, _ in kind.steps), *UNDOS, "give_up")
"""After each of these the worker is killed once; after the last step of a workflow only the end of the case is left."""


@dataclass(frozen=True)
class Terms:
    """What to run. `wave` seeds are in flight at once."""

    seeds: Sequence[int]
    state_dir: Path
    wave: int = 8
    broker: Broker = "valkey"
    ledger: LedgerKind = "sqlite"
    boundaries: Sequence[str] = BOUNDARIES


@dataclass
class Result:
    """What came of it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    killed_after: list[str] = field(default_factory=list)
    not_killed_after: list[str] = field(default_factory=list)
    unsettled: int = 0
    effects: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0


def saga_run(terms: Terms, say: Callable[[str], None]) -> Result:
    """Run them all."""
    result, begun = Result(), time.monotonic()
    stack_options: dict[str, Any] = {"broker": terms.broker, "ledger": terms.ledger, "env_overrides": SETTINGS, "fresh": True}
    with running_stack(terms.state_dir, **stack_options) as stack:
        ledger, broker = Ledger(stack.state.ledger_url), foreign_client_of(stack.state)
        killer = Killer(stack, ledger, terms.boundaries)
        with httpx2.Client(base_url=stack.state.partners_url, timeout=30, trust_env=False) as partners:
            try:
                for wave in _waves(terms):
                    fates = [fate for seed in wave for fate in fates_of(seed)]
                    _set_rules(partners, fates)
                    _send(broker, fates)
                    _await_end(ledger, fates, killer)
                    _judge(ledger, partners, fates, result)
                    say(f"seeds {wave[0]} to {wave[-1]}: {sum(result.outcomes.values())} sagas ended, {len(result.wrong)} complaints")
            finally:
                broker.close()
                ledger.close()
        result.killed_after, result.not_killed_after = killer.killed, killer.left
    result.seconds = time.monotonic() - begun
    return result


def _waves(terms: Terms) -> Iterator[Sequence[int]]:
    for start in range(0, len(terms.seeds), terms.wave):
        yield terms.seeds[start : start + terms.wave]


def _set_rules(partners: httpx2.Client, fates: Sequence[Fate]) -> None:
    rules = [rule for fate in fates for rule in fate.rules()]
    partners.put("/faults", json=rules).raise_for_status()


def _send(broker: ForeignClient, fates: Sequence[Fate]) -> None:
    for fate in fates:
        if fate.paid_early:
            paid = {"order_id": fate.key, "amount": "480.00", "currency": "EUR", "payment_id": f"pay-{fate.key}"}
            broker.send("payments", _event(PAID, f"paid-{fate.key}", paid | {"workflow": fate.workflow}), fate.key)
    for fate in fates:
        data = {fate.kind.key_field: fate.key, **fate.kind.request}
        broker.send(EVENT_TYPES[fate.kind.event_type].topic, _event(fate.kind.event_type, fate.key, data), fate.key)


def _event(event_type: str, event_id: str, data: dict[str, Any]) -> bytes:
    envelope = {"specversion": "1.0", "id": event_id, "source": "/saga-run", "type": event_type}
    return json.dumps(envelope | {"datacontenttype": "application/json", "data": data}).encode()


def _await_end(ledger: Ledger, fates: Sequence[Fate], killer: Killer) -> None:
    """Kill while they run; come back when all have ended."""
    until = time.monotonic() + END_SECONDS
    keys = {fate.key for fate in fates}
    while time.monotonic() < until:
        if killer.strike():
            continue
        if len(_rows(ledger, select(cases.c.key).where(cases.c.phase == "closed", cases.c.key.in_(keys)))) == len(keys):
            return
        time.sleep(PAUSE_SECONDS if killer.left else 10 * PAUSE_SECONDS)


def _judge(ledger: Ledger, partners: httpx2.Client, fates: Sequence[Fate], result: Result) -> None:
    for fate in fates:
        case = next(iter(_rows(ledger, select(cases).where(cases.c.key == fate.key))), None)
        if case is None:
            result.wrong.append(f"{fate.key} has no case")
            continue
        told = select(compensations.c.step).where(compensations.c.instance_id == case.instance_id)
        unsettled = frozenset(row.step for row in _rows(ledger, told))
        books = partners.get("/books", params={"subject": fate.key}).raise_for_status().json()["books"]
        effects = partners.get("/effects", params={"subject": fate.key}).raise_for_status().json()["effects"]
        paid = _rows(ledger, select(events.c.state).where(events.c.event_id == f"paid-{fate.key}"))
        result.outcomes[case.outcome or f"still {case.phase}"] += 1
        result.unsettled += len(unsettled)
        result.effects += len(effects)
        account = Account(case.instance_id, case.outcome, unsettled, paid[0].state if paid else None, books, effects)
        result.wrong += wrong_with(fate, account)


def _rows(ledger: Ledger, query: Select[Any]) -> Sequence[Row[Any]]:
    return ledger.read(lambda tx: tx.all(query))
