"""Taking a case into the ledger whose instance somebody started through Dapr's own workflow API.

In: a workflow, an instance id and the input that was given, which is the request itself. Out: the case's input, as the routing lane
would have made it, or why it is refused. Invariants: there is one open case a key, and an ended one is not run again, whichever way a
request came; a rerun of the activity finds its case and gets the same input.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from sqlalchemy import bindparam, insert, select

from sayso.contracts.catalog import WORKFLOWS
from sayso.contracts.payload import explain
from sayso.contracts.workflow_io import CaseInput, CaseRef, TakeInput
from sayso.errors import MalformedError
from sayso.gate import UNSTORABLE
from sayso.ledger import audit
from sayso.ledger.adopting import DIRECT
from sayso.ledger.cases import Rules, enter_case, lock_case_key
from sayso.ledger.claims import keep_large_texts
from sayso.ledger.database import Transaction
from sayso.ledger.driving import RUNNING
from sayso.ledger.identifiers import INSTANCE_ID_CHARACTERS_MAX
from sayso.ledger.outbox import moment
from sayso.ledger.planning import about, with_approval
from sayso.ledger.schema import cases, events
from sayso.ledger.states import EventState
from sayso.policy import POLICIES

REFUSED, TAKEN = "refused", "taken"
"""Fields of the answer: why it is no case, or the case's input."""


def take_case(tx: Transaction, asked: TakeInput, rules: Rules) -> dict[str, Any]:
    """The case of this instance, opened now or known already."""
    contract = WORKFLOWS[asked.workflow]
    try:
        request = contract.request.model_validate(_with_key(asked, contract.key_field)).model_dump(mode="json")
    except ValidationError as error:
        return _refuse(tx, asked, explain(error))
    key = str(request[contract.key_field])
    generations = lock_case_key(tx, asked.workflow, key)
    known = tx.one(_CASE, {"instance_id": asked.instance_id})
    if known is not None and known.phase != "closed":
        return {TAKEN: json.loads(known.input)}
    refusal = _why_not(tx, asked, key, generations, rules)
    if refusal is not None:
        return _refuse(tx, asked, refusal)
    settings_plan = POLICIES[asked.workflow].plan(rules.settings)
    try:
        plan = with_approval(settings_plan, rules.policies, asked.workflow, request, moment(tx.now_ms))
    except MalformedError as error:
        return _refuse(tx, asked, str(error))
    case = CaseRef(
        workflow=asked.workflow,
        key=key,
        generation=generations + 1,
        instance_id=asked.instance_id,
        opened_at=moment(tx.now_ms),
    )
    identity = hashlib.sha256(f"{DIRECT}\x00{asked.instance_id}".encode()).hexdigest()
    light = keep_large_texts(tx, case.instance_id, request, rules.settings.limits.inline_bytes)
    case_input = CaseInput(case=case, request=light, plan=about(plan, light), opened_by=identity)
    seq = _keep_event(tx, case, identity, request)
    check_ms = int(rules.settings.reconciler.check_interval.total_seconds() * 1000)
    enter_case(tx, case_input, seq, rules, channel=DIRECT, phase=RUNNING, started_at_ms=tx.now_ms, check_at_ms=tx.now_ms + check_ms)
    return {TAKEN: case_input.model_dump(mode="json")}


def _with_key(asked: TakeInput, key_field: str) -> dict[str, Any]:
    """A request that names no key, as the seeds' orders do not, has its instance id as key."""
    request = asked.request if isinstance(asked.request, dict) else {}
    return request if request.get(key_field) is not None else {**request, key_field: asked.instance_id}


def _why_not(tx: Transaction, asked: TakeInput, key: str, generations: int, rules: Rules) -> str | None:
    if not rules.settings.accept_raw_raise:
        return "it was started past the ledger, and accept_raw_raise is off"
    if len(asked.instance_id) > INSTANCE_ID_CHARACTERS_MAX:
        return f"its instance id is longer than {INSTANCE_ID_CHARACTERS_MAX} characters"
    if any(UNSTORABLE.search(text) for text in _texts(asked.request)):
        return "it contains a NUL character or an unpaired surrogate, which cannot be stored"
    if generations == 0:
        return None
    open_case = tx.one(_OPEN, {"workflow": asked.workflow, "key": key})
    if open_case is not None:
        return f"the case for key '{key}' is open: {open_case.instance_id}"
    return f"the case for key '{key}' has ended; it is not run again"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _refuse(tx: Transaction, asked: TakeInput, reason: str) -> dict[str, Any]:
    audit.record(tx, "start-refused", channel=DIRECT, instance_id=asked.instance_id[:INSTANCE_ID_CHARACTERS_MAX], reason=reason)
    return {REFUSED: reason}


def _keep_event(tx: Transaction, case: CaseRef, identity: str, request: dict[str, Any]) -> int:
    values = {
        "topic": DIRECT,
        "digest": hashlib.sha256(identity.encode()).hexdigest(),
        "original": json.dumps(request).encode(),
        "identity": identity,
        "workflow": case.workflow,
        "key": case.key,
        "instance_id": case.instance_id,
        "state": EventState.STARTED.value,
        "reason": f"opened {case.instance_id}, which was started through Dapr's own API",
        "received_at_ms": tx.now_ms,
        "updated_at_ms": tx.now_ms,
        "last_seen_at_ms": tx.now_ms,
        "sightings": 1,
        "attempts": 0,
    }
    return int(tx.run(insert(events).returning(events.c.seq), values).scalar_one())


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_OPEN = select(cases.c.instance_id).where(
    cases.c.workflow == bindparam("workflow"), cases.c.key == bindparam("key"), cases.c.phase != "closed"
)
