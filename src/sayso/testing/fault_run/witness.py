"""The witness: what a run showed from outside, as the checker reads it.

In: what was sent, the topics as the broker has them, the partner service's effects, how events and cases stand. Out: `Observed`. Only
reads; what it knows of the ledger are names of columns.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import httpx2
from sqlalchemy import Row, and_, select

from sayso.contracts.dead_letter import DEAD, Marks
from sayso.ledger import Ledger
from sayso.ledger.schema import cases, events, tasks
from sayso.simulator.observed import CaseEnd, DeadLetter, Effect, FinalState, LateReply, Observed, Published, Sent
from sayso.testing.foreign_client import ForeignClient

PAGE = 5_000
ANNOUNCED = ("outcomes", "approval-requests", "payment-commands")


def observe(sent: Iterable[Sent], ledger: Ledger, broker: ForeignClient, partners_url: str) -> Observed:
    """Everything, after the run."""
    observed = Observed(effects=list(effects_of(partners_url)), published=list(_published(broker)))
    rows = ledger.read(lambda tx: tx.all(_EVENTS))
    received_at = {(row.topic, row.digest): row.received_at_ms / 1000 for row in rows}
    observed.sent = [dataclasses.replace(one, accepted_at=received_at.get((one.topic, one.digest))) for one in _once(sent)]
    observed.states = [
        FinalState(row.topic, row.digest, row.source, row.event_id, row.state, row.reason, row.instance_id) for row in rows
    ]
    observed.cases = list(_case_ends(ledger.read(lambda tx: tx.all(_CASES))))
    observed.late_replies = [
        LateReply(event.id, event.type, event.data["answers"]["source"], event.data["answers"]["id"])
        for event in observed.published
        if "answers" in (event.data or {})
    ]
    observed.dead_letters = [_dead_letter(letter) for letter in _events_on(broker, "deadletters")]
    return observed


def effects_of(partners_url: str) -> Iterator[Effect]:
    """What the partner service truly did."""
    after = 0
    with httpx2.Client(base_url=partners_url, timeout=30, trust_env=False) as client:
        while True:
            page = client.get("/effects", params={"after": after, "limit": PAGE}).raise_for_status().json()["effects"]
            for effect in page:
                case = str(effect["body"].get("case", ""))
                yield Effect(effect["key"], effect["kind"], effect["subject"], effect["calls"], case)
            if len(page) < PAGE:
                return
            after = page[-1]["seq"]


def _once(sent: Iterable[Sent]) -> Iterator[Sent]:
    """A message that was sent again, byte for byte, is one message: the first time counts."""
    seen: set[tuple[str, str]] = set()
    for one in sent:
        if (one.topic, one.digest) not in seen:
            seen.add((one.topic, one.digest))
            yield one


def _events_on(broker: ForeignClient, topic: str) -> Iterator[dict[str, Any]]:
    return (json.loads(body) for body in broker.read(topic))


def _published(broker: ForeignClient) -> Iterator[Published]:
    for topic in ANNOUNCED:
        for event in _events_on(broker, topic):
            yield Published(topic, event["id"], event["type"], event.get("subject"), event["data"])


def _dead_letter(letter: dict[str, Any]) -> DeadLetter:
    """An event with extension attributes that say what became of it, or one that carries what was no event."""
    marks = Marks.of(letter)
    ours = letter["type"] == DEAD
    source, event_id = (None, None) if ours else (letter["source"], letter["id"])
    return DeadLetter(marks.letter, source, event_id, marks.topic, marks.digest, marks.state, marks.reason)


def _case_ends(rows: Iterable[Row[Any]]) -> Iterator[CaseEnd]:
    """A case has a row for each stage that asked people, or one without a stage."""
    by_case: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_case[row.instance_id].append(row)
    yield from map(_case_end, by_case.values())


def _case_end(stages: list[Row[Any]]) -> CaseEnd:
    """Its deadline is that of its last stage: until then a decision counts."""
    row = stages[0]
    return CaseEnd(
        case=row.instance_id,
        workflow=row.workflow,
        key=row.key,
        generation=row.generation,
        outcome=row.outcome if row.phase == "closed" else None,
        decided_by=next((one.decided_by for one in stages if one.decided_by is not None), None),
        opened_at=row.opened_at_ms / 1000,
        due_at=max((one.due_at_ms / 1000 for one in stages if one.due_at_ms is not None), default=None),
        stages=[one.stage_name for one in stages if one.stage_name is not None],
    )


_EVENTS = select(
    events.c.seq,
    events.c.topic,
    events.c.digest,
    events.c.source,
    events.c.event_id,
    events.c.state,
    events.c.reason,
    events.c.instance_id,
    events.c.received_at_ms,
)
_CASES = select(
    cases.c.instance_id,
    cases.c.workflow,
    cases.c.key,
    cases.c.generation,
    cases.c.phase,
    cases.c.outcome,
    cases.c.opened_at_ms,
    tasks.c.stage.label("stage_name"),
    tasks.c.due_at_ms,
    tasks.c.decided_by,
).select_from(cases.outerjoin(tasks, and_(tasks.c.instance_id == cases.c.instance_id)))
