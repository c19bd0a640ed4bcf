"""Deciding: the case that is meant, the event that says so, and what became of it.

The decision goes the way of every other: onto the topic, through the ledger and the gate. Nothing is written past them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from sayso.cli.event_files import SOURCE
from sayso.cli.output import argument, clock, out, print_json, printable, say, styled
from sayso.cli.publishing import Outgoing, publish_events
from sayso.cli.signing import about_case, desk_of, requests_of_file, signed
from sayso.config_file import did_you_mean
from sayso.contracts.catalog import WORKFLOWS
from sayso.contracts.cloudevent import format_event, parse_event
from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume
from sayso.errors import ConfigurationError, MalformedError, RefusedError, SaysoError, TransientError
from sayso.ledger import Ledger
from sayso.ledger.queries.cases import case_by_id, find_cases
from sayso.ledger.queries.events import event_by_identity
from sayso.ledger.queries.views import CaseView, EventView
from sayso.ledger.states import EventState
from sayso.signing.pen import About
from sayso.stack_address import StackAddress, find_stack

DECIDED = "sayso.approval.decided.v1"
POLL_SECONDS = 0.1
UNDER_WAY = (EventState.RECEIVED, EventState.DELIVERING, EventState.DELIVERED)
EXIT_CODES = {
    EventState.CONSUMED: 0,
    EventState.HELD: 0,
    EventState.RECORDED: 0,
    EventState.REJECTED: MalformedError.exit_code,
}


class NoSuchCaseError(SaysoError):
    """Nothing is known by this key."""


@dataclass(frozen=True)
class Decision:
    """What a person typed."""

    reference: str
    approved: bool | None
    """None: neither yes nor no."""
    user: str
    comment: str | None
    workflow: str | None
    stage: str | None = None
    on_behalf_of: str | None = None
    sign: str | None = None
    about: str | None = None


def decide_case(decision: Decision, *, wait_seconds: float, as_json: bool) -> int:
    """Publish the decision, wait for what becomes of it, say so; returns the exit code."""
    stack = find_stack()
    ledger = stack.ledger()
    try:
        workflow, key, meant = _meant(ledger, decision)
        bindings = stack.bindings()
        outgoing = decision_event(decision, workflow, key, bindings)
        outgoing = _signed(outgoing, decision, stack, bindings, meant)
        publisher = stack.publisher()
        try:
            publish_events(publisher, [outgoing])
        finally:
            publisher.close()
        event = await_end(ledger, outgoing, wait_seconds) if wait_seconds > 0 else None
        case = ledger.read(partial(case_by_id, instance_id=event.case)) if event is not None and event.case else None
    finally:
        ledger.close()
    if as_json:
        print_json(_document(outgoing, event, case))
    if wait_seconds == 0:
        if not as_json:
            out().print(f"published {outgoing.event.id} on {outgoing.topic}", markup=False)
        return 0
    if not as_json:
        _show(outgoing, event, case)
    return _exit_code(event)


def decision_event(decision: Decision, workflow: str, key: str, bindings: Bindings) -> Outgoing:
    """The event that says it, on the topic where the bindings expect decisions for this workflow."""
    if not decision.user.strip():
        raise ConfigurationError("--as is empty; say who decides: --as alice")
    data: dict[str, object] = {WORKFLOWS[workflow].key_field: key, "workflow": workflow, "key": key}
    data |= {"approved": decision.approved, "approver": decision.user.strip()}
    if decision.approved is None:
        data["abstain"] = True
        del data["approved"]
    for name, value in (("stage", decision.stage), ("on_behalf_of", decision.on_behalf_of)):
        if value is not None:
            data[name] = value
    if decision.comment:
        data["reason"] = decision.comment
    body = format_event(event_id=str(uuid4()), source=SOURCE, event_type=DECIDED, data=data, time=datetime.now(UTC))
    topics = {rule.topic for rule in bindings.rules if rule.type == DECIDED and rule.workflow == workflow}
    why = "no binding takes decisions for it"
    for topic in sorted(topics):
        verdict = correlate(bindings, topic, body)
        if isinstance(verdict, Resume) and (verdict.workflow, verdict.key) == (workflow, key):
            return Outgoing(topic, parse_event(body), body, verdict)
        why = verdict.reason if isinstance(verdict, Rejected) else f"on {topic} it would not reach the case"
    raise ConfigurationError(f"{workflow} cannot be decided with {DECIDED}: {why} (bindings.yaml)")


def _signed(outgoing: Outgoing, decision: Decision, stack: StackAddress, bindings: Bindings, case: CaseView | None) -> Outgoing:
    """With a signature, if the binding wants one or the person does."""
    verdict = outgoing.verdict
    assert isinstance(verdict, Resume), "a decision is about a case"
    if decision.sign is None and verdict.treatment.signed_on is None:
        return outgoing
    asked = requests_of_file(decision.about, bindings).get((verdict.workflow, verdict.key))
    about = about_case(case) if case is not None else About(asked) if asked is not None else None
    pen = desk_of(stack, bindings).pen(decision.sign, DECIDED)
    body = signed(pen, outgoing.body, verdict, about)
    return replace(outgoing, event=parse_event(body), body=body, verdict=correlate(bindings, outgoing.topic, body))


def await_end(ledger: Ledger, outgoing: Outgoing, wait_seconds: float) -> EventView | None:
    """Look until the event rests somewhere or the time is over; None when it has not even arrived."""
    deadline = time.monotonic() + wait_seconds
    while True:
        event = ledger.read(partial(event_by_identity, identity=outgoing.event.identity))
        if (event is not None and event.state not in UNDER_WAY) or time.monotonic() > deadline:
            return event
        time.sleep(POLL_SECONDS)


def _meant(ledger: Ledger, decision: Decision) -> tuple[str, str, CaseView | None]:
    """Workflow and key of the case that is meant, and the case if there is one; or an error that says why there is none."""
    if decision.workflow is not None and decision.workflow not in WORKFLOWS:
        raise ConfigurationError(f'no workflow "{decision.workflow}"{did_you_mean(decision.workflow, WORKFLOWS)}')
    name = printable(decision.reference)
    found = ledger.read(partial(find_cases, reference=decision.reference, workflow=decision.workflow))
    undecided = [case for case in found if case.phase != "closed"]
    if len(undecided) > 1:
        workflows = ", ".join(case.workflow for case in undecided)
        raise ConfigurationError(f"several cases have the key {name} ({workflows}); say which: --workflow NAME")
    if undecided:
        return undecided[0].workflow, undecided[0].key, undecided[0]
    if found:
        case = found[0]
        ended = f", {clock(case.closed_at)}" if case.closed_at else ""
        raise RefusedError(f"the case for {name} has ended ({case.outcome}{ended}); see: sayso case {case.instance_id}")
    if decision.workflow is not None:
        return decision.workflow, decision.reference, None
    raise NoSuchCaseError(f"no case for {name} yet; to decide before it comes, say for which workflow: --workflow NAME")


def _show(outgoing: Outgoing, event: EventView | None, case: CaseView | None) -> None:
    identity = argument(outgoing.event.id, "")
    if event is None:
        say(("published, but it has not arrived in the ledger yet", "yellow"), f"; see: sayso status, sayso event {identity}")
        return
    out().print(f"decision {outgoing.event.id}: ", styled(event.state), f", {printable(event.reason or '')}", markup=False, sep="")
    if event.state in UNDER_WAY:
        trouble = f"; last error: {printable(case.last_error)}" if case is not None and case.last_error else ""
        say(("it was not used within the time", "yellow"), f"{trouble}; see: sayso event {identity}")
    if case is not None:
        now = f"ended: {case.outcome}" if case.phase == "closed" else (case.stage or case.phase)
        say(f"the case {printable(case.key)} {now}; see: sayso case {argument(case.key, case.instance_id)}")


def _exit_code(event: EventView | None) -> int:
    if event is None or event.state in UNDER_WAY:
        return TransientError.exit_code
    return EXIT_CODES.get(EventState(event.state), RefusedError.exit_code)


def _document(outgoing: Outgoing, event: EventView | None, case: CaseView | None) -> dict[str, object]:
    return {
        "id": outgoing.event.id,
        "source": outgoing.event.source,
        "topic": outgoing.topic,
        "data": json.loads(outgoing.body)["data"],
        "event": event.number if event is not None else None,
        "state": event.state if event is not None else None,
        "reason": event.reason if event is not None else None,
        "case": case.instance_id if case is not None else None,
        "case_status": case.status if case is not None else None,
        "stage": case.stage if case is not None else None,
    }
