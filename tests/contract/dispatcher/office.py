"""Ledger, dispatcher, workflows and activities together in one process; only engine, broker and partner service are in memory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Row, Table, select, update

from sayso.correlation.bindings import load_bindings
from sayso.errors import RefusedError
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.intake import receive
from sayso.ledger.planning import Policies, SettingsAlone, current_document
from sayso.ledger.schema import cases, events
from sayso.services import PartnerClient
from sayso.settings import DispatcherSettings, ReconcilerSettings, Settings
from sayso.signing.notary import Notary
from sayso.signing.pen import Pen
from sayso.testing.demo_signer import DemoSigner
from sayso.testing.faults import FaultyEngine, FaultyPublisher
from sayso.testing.forging.company import Company
from sayso.testing.memory import MemoryEngine, MemoryPublisher
from sayso_subscribers.dispatcher import Dispatcher
from sayso_worker.activities.steps import approval_activities, confirm_deadline_activity, step_activity
from sayso_worker.registry import STEPS, WORKFLOWS

BINDINGS = load_bindings(Path(__file__).parents[3] / "config" / "bindings.yaml")
SETTINGS = Settings(
    dispatcher=DispatcherSettings(
        poll_interval=timedelta(milliseconds=20), lease=timedelta(seconds=1), retry_interval_max=timedelta(milliseconds=30)
    ),
    reconciler=ReconcilerSettings(
        check_interval=timedelta(milliseconds=300),
        check_interval_max=timedelta(milliseconds=600),
        absence=timedelta(milliseconds=300),
        unseen_after=timedelta(milliseconds=100),
    ),
)
WAIT_SECONDS = 60.0
NUMBERS = count(1)
COMPANY = Company()


PURCHASE = "com.acme.purchase.requested.v1"


def order_of(key: str, cost: int = 1200) -> dict[str, Any]:
    return {"order_id": key, "cost": cost, "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}


class MemoryPartners:
    """The partner service: one effect a key."""

    def __init__(self) -> None:
        self.effects: dict[str, tuple[str, dict[str, Any]]] = {}
        self.refusal: str | None = None
        self._lock = threading.Lock()

    def call(self, path: str, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        if self.refusal is not None:
            raise RefusedError(self.refusal)
        with self._lock:
            self.effects.setdefault(idempotency_key, (path, dict(body)))
        return {"status": "done"}


def memory_engine(ledger: Ledger, partners: MemoryPartners, policies: Policies | None = None) -> MemoryEngine:
    """The real workflows and activities on an engine in memory."""
    client = cast("PartnerClient", partners)
    activities: dict[str, Any] = {name: step_activity(name, effect, ledger, client) for name, effect in STEPS.items()}
    activities["confirm_deadline"] = confirm_deadline_activity(ledger)
    activities |= approval_activities(ledger, policies or SettingsAlone())
    return MemoryEngine(WORKFLOWS, activities)


class Office:
    """Starts its dispatcher when it is opened for business with `open()`: what came before waits."""

    def __init__(
        self,
        ledger: Ledger,
        make_engine: Callable[[Ledger, MemoryPartners], Any],
        settings: Settings = SETTINGS,
        policies: Policies | None = None,
    ) -> None:
        self.ledger = ledger
        self.policies = policies
        self.settings = settings
        self.partners = MemoryPartners()
        self._notary = Notary(COMPANY, settings.signing)
        self.real_engine = make_engine(ledger, self.partners)
        self.engine = FaultyEngine(self.real_engine)
        self.broker = MemoryPublisher()
        self.publisher = FaultyPublisher(self.broker)
        self.signer = DemoSigner(BINDINGS, Pen(COMPANY.erp, self.settings.signing.audience, timedelta(days=6)))
        self._dispatchers: list[Dispatcher] = []
        self._ledgers: list[Ledger] = []

    @property
    def instance_id(self) -> str:
        """Of the one case."""
        (case,) = self.cases
        return str(case.instance_id)

    def open(self, replicas: int = 1, settings: Settings | None = None) -> None:
        for number in range(replicas):
            ledger = self.ledger if number == 0 else Ledger(self.ledger.url)
            if number:
                self._ledgers.append(ledger)
            ledger_id = read_ledger_id(ledger)
            rules = settings or self.settings
            dispatcher = Dispatcher(ledger, self.engine, self.publisher, BINDINGS, rules, ledger_id, self.policies, self._notary.vouch)
            dispatcher.start()
            self._dispatchers.append(dispatcher)

    def close(self) -> None:
        for dispatcher in self._dispatchers:
            dispatcher.stop()
        for ledger in self._ledgers:
            ledger.close()
        self._dispatchers.clear()
        if isinstance(self.real_engine, MemoryEngine):
            self.real_engine.check_replays()

    def receive(self, topic: str, kind: str, data: Any, event_id: str | None = None) -> None:
        event = {"specversion": "1.0", "id": event_id or f"e{next(NUMBERS)}", "source": "/test", "type": kind, "data": data}
        self.receive_bytes(topic, json.dumps(event).encode())

    def receive_bytes(self, topic: str, original: bytes) -> None:
        if topic == "approvals":
            self._remember_requests()
        original = self.signer.sign(topic, original, self._second_case(topic))
        self.ledger.transact(partial(receive, topic=topic, original=original))
        for dispatcher in self._dispatchers:
            dispatcher.wake()

    def _remember_requests(self) -> None:
        """However the cases came."""
        for case in self.cases:
            self.signer.remember(case.workflow, case.key, current_document(case)["request"])

    def _second_case(self, topic: str) -> str | None:
        """A decision for a later case of its key has to name it; there is one matter an office."""
        later = [case.instance_id for case in self.cases if case.generation > 1 and case.phase != "closed"]
        return later[-1] if topic == "approvals" and later else None

    def buy(self, key: str = "PO-1", cost: int = 1200) -> None:
        self.receive("purchases", PURCHASE, order_of(key, cost))

    def decide(self, key: str = "PO-1", approver: str = "bob", *, approved: bool = True) -> None:
        self.signer.note(
            "purchases", json.dumps({"specversion": "1.0", "id": "o", "source": "/", "type": PURCHASE, "data": order_of(key)}).encode()
        )
        data = {"order_id": key, "approved": approved, "approver": approver}
        self.receive("approvals", "sayso.approval.decided.v1", data)

    def pay(self, key: str = "PO-1", amount: int = 1200) -> None:
        data = {"order_id": key, "amount": amount, "currency": "EUR"}
        self.receive("payments", "com.acme.payment.captured.v1", data)

    def rows(self, table: Table) -> list[Row[Any]]:
        first = next(table.c[name] for name in ("seq", "opened_at_ms", "done_at_ms", "created_at_ms") if name in table.c)
        return self.ledger.read(lambda tx: tx.all(select(table).order_by(first)))

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.rows(events)]

    @property
    def reasons(self) -> list[str | None]:
        return [row.reason for row in self.rows(events)]

    @property
    def cases(self) -> list[Row[Any]]:
        return self.rows(cases)

    @property
    def outcomes(self) -> list[str | None]:
        return [case.outcome for case in self.cases]

    def change(self, table: Table, **values: Any) -> None:
        """Write past the ledger's rules, as a crash or an earlier day left it."""
        self.ledger.transact(lambda tx: tx.run(update(table).values(**values)))

    def alerts(self, kind: str) -> list[dict[str, Any]]:
        """What the alerts of this kind say that are published."""
        return [event["data"] for event in self.broker.on("alerts") if event["data"]["kind"] == kind]

    def alert(self, kind: str) -> dict[str, Any]:
        """The one alert of this kind, once it is published: its cause can be seen earlier."""
        self.wait_until(lambda: self.alerts(kind))
        (alert,) = self.alerts(kind)
        return alert

    def wait_until(self, what: Callable[[], object]) -> None:
        """Wait for a condition; what it gives in the end is shown when it does not come."""
        until = time.monotonic() + WAIT_SECONDS
        while not what():
            assert time.monotonic() < until, (self.states, self.cases, self.engine.calls)
            time.sleep(0.01)

    def wait_for_outcomes(self, *outcomes: str) -> None:
        """Wait until the cases have ended so, and all that is to be published is out."""
        self.wait_until(lambda: self.outcomes == list(outcomes))
        self.wait_until(lambda: len(self.broker.on("outcomes")) >= len(outcomes))
