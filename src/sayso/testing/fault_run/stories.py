"""Stories: what other systems send about one matter, in which order and at which pace, and what each message means.

In: a seeded generator. Out: messages with their time after the story's beginning. Every story ends by itself or by a short deadline
(`SETTINGS`), so that after a run nothing may be open.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sayso.contracts.catalog import EVENT_TYPES
from sayso.simulator.observed import Intent

PURCHASES, REQUESTS, TASKS = "purchase_order_workflow", "approval_workflow", "task_approval_workflow"
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "SAYSO_TASK__MANAGER_TIMEOUT": "PT20S",  # tasks are never decided here, nor by the director; everything else has days
        "SAYSO_TASK__TOTAL_TIMEOUT": "PT40S",
        "SAYSO_RECONCILER__CHECK_INTERVAL": "PT20S",
        "SAYSO_RECONCILER__CHECK_INTERVAL_MAX": "PT40S",
        "SAYSO_RECONCILER__ABSENCE": "PT10S",
        "SAYSO_RECONCILER__UNSEEN_AFTER": "PT60S",
        "SAYSO_RECONCILER__STUCK_AFTER": "PT60S",
    }
)
"""Minutes instead of hours: what a person would not wait for, a run of half an hour cannot either."""

COST = "1250.00"
REPEATED = 0.12
"""So many of the messages come again, up to three times."""

GARBAGE = (b"this is not json", b"\xff\xfe not json", b"[]", b'{"specversion": "1.0", ', b'{"specversion": "1.0", "id": 17}')


@dataclass(frozen=True)
class Message:
    """These bytes on this topic, so many seconds after the story's beginning; `source` and `event_id` are empty in garbage."""

    after_seconds: float
    topic: str
    key: str
    body: bytes
    intent: Intent
    workflow: str
    source: str = ""
    event_id: str = ""
    type: str = ""
    content: str = ""
    actor: str = ""


class Story:
    """One matter. `say` adds the next message, a moment after the one before it."""

    def __init__(self, chance: random.Random, number: str) -> None:
        self.chance = chance
        self.key = f"K-{number}"
        self.messages: list[Message] = []
        self._count = 0
        self._clock = 0.0

    def wait(self, seconds: float) -> None:
        """Let time pass before the next message."""
        self._clock += seconds

    def say(
        self,
        event_type: str,
        intent: Intent,
        data: Mapping[str, Any],
        *,
        workflow: str = PURCHASES,
        event_id: str = "",
        actor: str = "",
    ) -> str:
        """One event, and now and then the same bytes again; its id."""
        self._count += 1
        event_id = event_id or f"{self.key}-{self._count}"
        topic = EVENT_TYPES[event_type].topic if event_type in EVENT_TYPES else "payments"
        envelope = {"specversion": "1.0", "id": event_id, "source": f"/{topic}", "type": event_type}
        body = json.dumps({**envelope, "datacontenttype": "application/json", "data": data}).encode()
        content = json.dumps([event_type, data], sort_keys=True)
        source = f"/{topic}"
        message = Message(self._clock, topic, self.key, body, intent, workflow, source, event_id, event_type, content, actor)
        self._add(message)
        return event_id

    def babble(self) -> None:
        """Bytes that nobody can understand."""
        body = self.chance.choice(GARBAGE) + f" {self.key} {self._count}".encode()
        topic = self.chance.choice(("purchases", "approvals", "payments"))
        self._add(Message(self._clock, topic, self.key, body, Intent.MALFORMED, PURCHASES))

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        if self.chance.random() < REPEATED:
            again = [self._clock + self.chance.uniform(0, 30) for _ in range(self.chance.randint(1, 3))]
            self.messages += [Message(**{**vars(message), "after_seconds": at}) for at in again]
        self._clock += self.chance.uniform(0.05, 3)


def _purchase(story: Story, cost: str = COST, **fields: Any) -> str:
    intent = Intent.OPEN_AUTOMATIC if cost == "10.00" else Intent.OPEN
    data = {"order_id": story.key, "cost": cost, "product": "Laptop", "quantity": 1, "requester": "alice"}
    event_id = str(fields.pop("event_id", ""))
    return story.say("com.acme.purchase.requested.v1", intent, {**data, **fields}, event_id=event_id)


def _decide(story: Story, *, approved: bool = True, by: str = "bob") -> None:
    intent = Intent.POWERLESS if by == "alice" else Intent.APPROVE if approved else Intent.REJECT
    data = {"order_id": story.key, "approved": approved, "approver": by}
    story.say("sayso.approval.decided.v1", intent, data, actor=by)


def _pay(story: Story, amount: str = COST, payment: str = "pay-1") -> None:
    intent = Intent.PAY if amount == COST else Intent.POWERLESS
    data = {"order_id": story.key, "payment_id": payment, "amount": amount, "currency": "USD"}
    story.say("com.acme.payment.captured.v1", intent, data)


def paid(story: Story) -> None:
    """Asked for, approved, paid."""
    _purchase(story)
    _decide(story)
    _pay(story)


def automatic(story: Story) -> None:
    """Too small to be asked about."""
    _purchase(story, cost="10.00")


def rejected(story: Story) -> None:
    """Bob says no."""
    _purchase(story)
    _decide(story, approved=False)


def withdrawn(story: Story) -> None:
    """Alice takes it back, after somebody else has tried to."""
    _purchase(story)
    for who, intent in (("carol", Intent.POWERLESS), ("alice", Intent.WITHDRAW)):
        data = {"order_id": story.key, "requester": who, "reason": "not needed"}
        story.say("com.acme.purchase.withdrawn.v1", intent, data, actor=who)


def payment_failed(story: Story) -> None:
    """The payment fails for good."""
    _purchase(story)
    _decide(story)
    story.say("com.acme.payment.failed.v1", Intent.PAYMENT_FAILED, {"order_id": story.key, "reason": "no funds"})


def early(story: Story) -> None:
    """Payment and decision were published before the purchase."""
    _pay(story)
    _decide(story)
    story.wait(story.chance.uniform(0, 10))
    _purchase(story)


def late(story: Story) -> None:
    """A second payment, when the case has probably ended."""
    paid(story)
    story.wait(story.chance.uniform(2, 25))
    _pay(story, payment="pay-2")


def contested(story: Story) -> None:
    """Bob and carol disagree in the same moment; the money comes in any case."""
    _purchase(story)
    first = story.chance.random() < 0.5
    _decide(story, approved=first)
    _decide(story, approved=not first, by="carol")
    _pay(story)


def restarted(story: Story) -> None:
    """The purchase is asked for a second time, as another event."""
    _purchase(story)
    _purchase(story)
    _decide(story)
    _pay(story)


def powerless(story: Story) -> None:
    """What may never count comes before what does."""
    _purchase(story)
    _decide(story, by="alice")
    _pay(story, amount="1.00")
    _decide(story)
    _pay(story, amount="1250.01")
    _pay(story)


def contradicted(story: Story) -> None:
    """Two different purchases under one id."""
    event_id = _purchase(story)
    # The contract does not know the note: whichever of the two opens the case, the decision was signed for that request.
    _purchase(story, note="urgent", event_id=event_id)
    _decide(story)
    _pay(story)


def requested(story: Story) -> None:
    """Another workflow."""
    data = {"request_id": story.key, "requester": "alice", "amount": 2500, "description": "Conference"}
    story.say("com.acme.request.submitted.v1", Intent.OPEN, data, workflow=REQUESTS)
    decided = {"request_id": story.key, "approved": True, "approver": "carol"}
    story.say("sayso.approval.decided.v1", Intent.APPROVE, decided, workflow=REQUESTS, actor="carol")


def timed_out(story: Story) -> None:
    """Nobody decides."""
    data = {"task_id": story.key, "title": "Move the servers", "assignee": "bob", "priority": "high", "requester": "alice"}
    story.say("com.acme.task.requested.v1", Intent.OPEN, data, workflow=TASKS)


def noise(story: Story) -> None:
    """What opens nothing: garbage, a type that nobody knows, a type that is only kept."""
    story.babble()
    story.say("com.acme.payment.unheard-of.v1", Intent.UNBOUND, {"order_id": story.key}, workflow="")
    story.say("com.acme.payment.authorized.v1", Intent.RECORD, {"order_id": story.key}, workflow="")


WEIGHTS: tuple[tuple[Callable[[Story], None], int], ...] = (
    (paid, 30),
    (automatic, 8),
    (rejected, 8),
    (withdrawn, 6),
    (payment_failed, 6),
    (early, 8),
    (late, 6),
    (contested, 8),
    (restarted, 4),
    (powerless, 5),
    (contradicted, 3),
    (requested, 4),
    (timed_out, 4),
    (noise, 5),
)


def stories(seed: int) -> Iterator[list[Message]]:
    """Without end, the same ones for the same seed; each in the order of its times."""
    chance = random.Random(seed)  # noqa: S311 - it must be the same again
    plots, weights = zip(*WEIGHTS, strict=True)
    number = 0
    while True:
        number += 1
        story = Story(chance, f"{seed}-{number}")
        chance.choices(plots, weights)[0](story)
        yield sorted(story.messages, key=lambda message: message.after_seconds)
