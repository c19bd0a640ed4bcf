"""The witness: what was seen of a world from outside, as records for the checker.

In: a world at rest. Out: `Observed`. What was sent comes from the senders, effects from the partners, publications from the topics;
only the final states and cases are asked of the ledger, by plain SQL.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sayso.simulator.observed import CaseEnd, DeadLetter, FinalState, LateReply, Observed, Published, Sent, Use
from sayso.simulator.world import World

HOLD_SECONDS = 7 * 86_400.0
STATES = "SELECT topic, digest, source, event_id, state, reason, instance_id, identity FROM events"
STAGES = "SELECT instance_id, stage FROM tasks ORDER BY instance_id, created_at_ms, stage"
CASES = "SELECT instance_id, workflow, key, generation, outcome, result, opened_at_ms, input FROM cases"


def observe(world: World) -> Observed:
    """Everything that the checker wants to know."""
    observed = Observed()
    observed.sent = list(_sent(world))
    observed.effects = list(world.partners.effects.values())
    asked_at: dict[str, float] = {}
    for topic, body in dict.fromkeys(world.publisher.published):
        event = json.loads(body)
        if event["type"] == "sayso.payment.refund-requested.v1":
            late = event["data"]["answers"]
            observed.late_replies.append(LateReply(event["id"], event["type"], late["source"], late["id"]))
        elif topic == "payment-commands":
            asked_at[event["subject"]] = datetime.fromisoformat(event["time"]).timestamp()
        if topic == "deadletters":
            observed.dead_letters.append(_dead_letter(event))
        else:
            observed.published.append(Published(topic, event["id"], event["type"], event.get("subject"), event["data"]))
    names: dict[int, tuple[str, str]] = {}
    for topic, digest, source, event_id, state, reason, case, _ in world.database.rows(STATES):
        observed.states.append(FinalState(topic, digest, source, event_id, state, reason, case))
    for seq, source, event_id in world.database.rows("SELECT seq, source, event_id FROM events WHERE event_id IS NOT NULL"):
        names[seq] = (source, event_id)
    observed.uses = list(dict.fromkeys(Use(asked.content["case"]["instance_id"], *names[seq]) for asked, seq in _used(world)))
    stages: dict[str, list[str]] = defaultdict(list)
    for case, stage in world.database.rows(STAGES):
        stages[case].append(stage)
    observed.cases = [_case(asked_at, stages, *row) for row in world.database.rows(CASES)]
    return observed


def _sent(world: World) -> Iterator[Sent]:
    broker = world.broker
    for number, message in enumerate(broker.messages):
        accepted_ms = broker.accepted_at_ms.get(number)
        yield Sent(
            event_id=message.event_id,
            source=message.source,
            topic=message.topic,
            type=message.type,
            key=message.key,
            digest=message.digest,
            intent=message.intent,
            content=message.content,
            workflow=message.workflow,
            actor=message.actor,
            accepted=accepted_ms is not None,
            sent_at=None if number in broker.unsure else broker.first_sent_ms[number] / 1000,
            waits_seconds=HOLD_SECONDS,
            stage=message.stage,
            accepted_at=None if accepted_ms is None or number in broker.unsure else accepted_ms / 1000,
        )


def _used(world: World) -> Iterator[tuple[Any, int]]:
    for asked in world.said:
        for seq in asked.content.get("used", ()):
            yield asked, seq


def _dead_letter(letter: dict[str, Any]) -> DeadLetter:
    of_ours = letter["type"] == "sayso.event.dead.v1"
    source, event_id = (None, None) if of_ours else (letter["source"], letter["id"])
    topic, digest, state, reason = (letter[f"sayso{name}"] for name in ("topic", "digest", "state", "reason"))
    return DeadLetter(letter["saysoletter"], source, event_id, topic, digest, state, reason)


def _case(
    asked_at: dict[str, float],
    stages: dict[str, list[str]],
    case: str,
    workflow: str,
    key: str,
    generation: int,
    outcome: str | None,
    result: str | None,
    opened_at_ms: int,
    given: str,
) -> CaseEnd:
    opened_at = opened_at_ms / 1000
    plan = json.loads(given)["plan"]
    return CaseEnd(
        case,
        workflow,
        key,
        generation,
        outcome,
        _decided_by(json.loads(result)) if result else None,
        opened_at=opened_at,
        due_at=opened_at + plan["approval_timeout_seconds"],
        payment_due_at=asked_at[case] + plan["payment_timeout_seconds"] if case in asked_at else None,
        stages=stages[case],
        approvals=_approvals(plan),
    )


def _approvals(plan: Any) -> int:
    """How many have to approve: of each stage one, or all of its seats."""
    rounds = (plan.get("approval") or {}).get("rounds", ())
    return sum(len(one["seats"]) if one["quorum"]["kind"] == "all" else 1 for each in rounds for one in each) or 1


def _decided_by(result: Any) -> str | None:
    if isinstance(result, dict):
        return result.get("approver")
    text = str(result)
    return text.split("'")[1] if "by '" in text else None
