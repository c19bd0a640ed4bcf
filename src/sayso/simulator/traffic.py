"""Traffic: what the senders send, drawn from the seed: cases with their decisions and payments, in every order, and strays.

In: a random generator. Out: messages, each with its moment and what its sender means. Offsets come from a short list, so that much
happens at the same moment: before the case, beside its deadline, after its end.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sayso.simulator.observed import Intent
from sayso.simulator.scenarios import BESIDE_DEADLINE, DAY, HOUR, MINUTE, SECOND, Scenario

PURCHASE, APPROVAL, TASK = "purchase_order_workflow", "approval_workflow", "task_approval_workflow"
KEY_FIELDS = {PURCHASE: "order_id", APPROVAL: "request_id", TASK: "task_id"}
AMENDMENTS = {
    PURCHASE: ("purchases", "com.acme.purchase.amended.v1", "product"),
    APPROVAL: ("requests", "com.acme.request.amended.v1", "description"),
    TASK: ("tasks", "com.acme.task.amended.v1", "title"),
}
SEATS = (("bob", "first"), ("carol", "first"), ("dora", "both"), ("dora", "both"), ("emil", "both"), ("emil", "both"))
"""Who has a seat on which stage (`policies.py`)."""
TIMEOUTS = {PURCHASE: DAY, APPROVAL: 3 * DAY, TASK: 2 * DAY}


@dataclass(frozen=True, slots=True)
class Message:
    """These bytes, to be sent at `at_ms` after the beginning."""

    at_ms: int
    topic: str
    body: bytes
    source: str
    event_id: str
    type: str
    intent: Intent
    workflow: str = ""
    key: str = ""
    content: str = ""
    actor: str = ""
    stage: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.body).hexdigest()


class Traffic:
    """Makes the messages of one case after the other."""

    def __init__(self, rng: random.Random, scenario: Scenario) -> None:
        self._rng = rng
        self._scenario = scenario
        self._cases = 0
        self._actors = 0

    def wave(self, at_ms: int, cases: int) -> Iterator[Message]:
        """The messages of so many cases that are opened about the same moment."""
        for _ in range(cases):
            yield from self._case(at_ms)
        if self._rng.random() < 0.7:
            yield from self._stray(at_ms)

    def _case(self, at_ms: int) -> Iterator[Message]:
        rng = self._rng
        self._cases += 1
        workflow = rng.choices((PURCHASE, APPROVAL, TASK), (6, 2, 2))[0]
        refuse = "-refuse" if rng.random() < 0.04 else ""
        key = f"{workflow[:2].upper()}-{self._cases}{refuse}"
        automatic = rng.random() < 0.15
        if rng.random() < 0.97:
            yield from self._openings(at_ms, workflow, key, automatic)
        yield from self._decisions(at_ms, workflow, key)
        if workflow == PURCHASE:
            yield from self._payments(at_ms, key)
        if self._scenario.stages and rng.random() < 0.4:
            yield from self._change(at_ms, workflow, key)

    def _change(self, at_ms: int, workflow: str, key: str) -> Iterator[Message]:
        """Somebody changes his mind; what he may not, does nothing."""
        rng = self._rng
        intent = rng.choice((Intent.AMEND, Intent.POWERLESS))
        by = "alice" if intent is Intent.AMEND else "mallory"
        topic, kind, field = AMENDMENTS[workflow]
        data = {KEY_FIELDS[workflow]: key, "requester": by, "changes": {field: "something else"}}
        if intent is Intent.POWERLESS and rng.random() < 0.5:
            topic, kind, data = "approvals", "sayso.approval.delegated.v1", {KEY_FIELDS[workflow]: key, "by": "bob", "to": "alice"}
        offset = rng.choice(self._scenario.decision_offsets)
        yield from self._copies(at_ms + offset, topic, kind, f"change-{key}", data, intent, workflow, key)

    def _openings(self, at_ms: int, workflow: str, key: str, automatic: bool) -> Iterator[Message]:
        rng = self._rng
        intent = Intent.OPEN_AUTOMATIC if automatic else Intent.OPEN
        for number in range(1 if rng.random() < 0.9 else 2):
            topic, kind, data = _request(workflow, key, automatic)
            name = f"open-{key}-{number}"
            yield from self._copies(at_ms + number * rng.choice((0, MINUTE, 5 * DAY)), topic, kind, name, data, intent, workflow, key)

    def _decisions(self, at_ms: int, workflow: str, key: str) -> Iterator[Message]:
        rng = self._rng
        if self._scenario.seats:
            yield from self._votes(at_ms, workflow, key)
            return
        choices = (Intent.APPROVE, Intent.REJECT, Intent.POWERLESS, Intent.WITHDRAW if workflow == PURCHASE else Intent.APPROVE)
        for number in range(rng.choices((0, 1, 2, 3), self._scenario.decisions)[0]):
            intent = rng.choices(choices, (66, 15, 10, 9))[0]
            beside_deadline = rng.random() < self._scenario.beside_deadline
            offset = (
                TIMEOUTS[workflow] + rng.choice(BESIDE_DEADLINE) if beside_deadline else rng.choice(self._scenario.decision_offsets)
            )
            self._actors += 1
            actor = f"bob-{self._actors}"
            topic, kind, data = _decision(workflow, key, intent, actor)
            name = f"decide-{key}-{number}"
            yield from self._copies(at_ms + offset, topic, kind, name, data, intent, workflow, key, actor)

    def _votes(self, at_ms: int, workflow: str, key: str) -> Iterator[Message]:
        """Of those who have a seat, some more than once, in any order; and of those who have none."""
        rng = self._rng
        choices = (Intent.APPROVE, Intent.REJECT, Intent.POWERLESS, Intent.WITHDRAW if workflow == PURCHASE else Intent.APPROVE)
        for number in range(rng.choices((0, 1, 3, 5, 8), (4, 8, 30, 38, 20))[0]):
            intent = rng.choices(choices, (84, 4, 9, 3))[0]
            actor, stage = rng.choice(SEATS)
            if intent is Intent.POWERLESS:
                actor, stage = rng.choice(("alice", "mallory")), ""
            topic, kind, data = _decision(workflow, key, Intent.APPROVE if intent is Intent.POWERLESS else intent, actor)
            beside = rng.random() < self._scenario.beside_deadline
            offset = TIMEOUTS[workflow] + rng.choice(BESIDE_DEADLINE) if beside else rng.choice(self._scenario.decision_offsets)
            stage = "" if intent is Intent.WITHDRAW else stage
            who = "" if intent is Intent.WITHDRAW else actor
            name = f"decide-{key}-{number}"
            for message in self._copies(at_ms + offset, topic, kind, name, data, intent, workflow, key, who):
                yield replace(message, stage=stage)

    def _payments(self, at_ms: int, key: str) -> Iterator[Message]:
        rng = self._rng
        for number in range(rng.choices((0, 1, 2), (15, 70, 15))[0]):
            intent = rng.choices((Intent.PAY, Intent.POWERLESS, Intent.PAYMENT_FAILED), (80, 8, 12))[0]
            kind = "com.acme.payment.failed.v1" if intent is Intent.PAYMENT_FAILED else "com.acme.payment.captured.v1"
            data = {
                "order_id": key,
                "amount": "1200.00" if intent is Intent.PAY else "7",
                "currency": "EUR",
                "payment_id": f"P{number}",
            }
            name = f"pay-{key}-{number}"
            offset = rng.choice(self._scenario.payment_offsets)
            yield from self._copies(at_ms + offset, "payments", kind, name, data, intent, PURCHASE, key)

    def _stray(self, at_ms: int) -> Iterator[Message]:
        """What belongs to no case: malformed bytes, types without a binding, events that are only kept."""
        rng = self._rng
        self._cases += 1
        name = f"stray-{self._cases}"
        body = rng.choice((b"\xff\xfe", b"{", b"[1]", b'{"specversion":"1.0"}')) + name.encode()
        yield Message(at_ms, "payments", body, "", name, "", Intent.MALFORMED)
        if rng.random() < 0.5:
            yield from self._copies(at_ms, "payments", "com.acme.unknown.v1", f"{name}-u", {}, Intent.UNBOUND)
        if rng.random() < 0.5:
            yield from self._copies(at_ms, "payments", "com.acme.payment.authorized.v1", f"{name}-r", {"x": 1}, Intent.RECORD)

    def _copies(
        self,
        at_ms: int,
        topic: str,
        kind: str,
        name: str,
        data: dict[str, Any],
        intent: Intent,
        workflow: str = "",
        key: str = "",
        actor: str = "",
    ) -> Iterator[Message]:
        """The event; sometimes once more in other bytes; rarely something else under its name."""
        rng = self._rng

        def message(at: int, said: dict[str, Any], content: str, **more: Any) -> Message:
            document = {"specversion": "1.0", "id": name, "source": "/sim", "type": kind, "data": said, **more}
            body = json.dumps(document).encode()
            return Message(at, topic, body, "/sim", name, kind, intent, workflow, key, content, actor)

        yield message(at_ms, data, "")
        dice = rng.random()
        if dice < 0.12:
            yield message(
                at_ms + rng.choice((0, 0, SECOND, HOUR, 9 * DAY)), data, "", traceparent=f"00-{rng.getrandbits(64):032x}-1-00"
            )
        elif dice < 0.15:
            yield message(at_ms + rng.choice((0, SECOND, HOUR)), data | {"note": "another content"}, "other")


def _request(workflow: str, key: str, automatic: bool) -> tuple[str, str, dict[str, Any]]:
    field = KEY_FIELDS[workflow]
    if workflow == PURCHASE:
        cost = "10.00" if automatic else "1200.00"
        order = {field: key, "cost": cost, "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
        return "purchases", "com.acme.purchase.requested.v1", order
    if workflow == APPROVAL:
        return "requests", "com.acme.request.submitted.v1", {field: key, "requester": "alice", "amount": "1" if automatic else "5000"}
    task = {field: key, "title": "Inspect", "assignee": "carol", "priority": "low" if automatic else "high", "requester": "alice"}
    return "tasks", "com.acme.task.requested.v1", task


def _decision(workflow: str, key: str, intent: Intent, actor: str) -> tuple[str, str, dict[str, Any]]:
    if intent is Intent.WITHDRAW:
        return "purchases", "com.acme.purchase.withdrawn.v1", {"order_id": key, "requester": "alice", "reason": actor}
    approver = "alice" if intent is Intent.POWERLESS else actor
    data = {KEY_FIELDS[workflow]: key, "approved": intent is not Intent.REJECT, "approver": approver}
    return "approvals", "sayso.approval.decided.v1", data
