"""Mutations: the production code, deliberately broken, to see that the checker has teeth.

In: a name. Out: while the context lasts, one rule of ARCHITECTURE.md is broken. The table says which, and how one notices.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import count
from types import MappingProxyType
from typing import Any, cast
from unittest.mock import patch

import sayso.gate.admission
import sayso.gate.stages
import sayso.gate.voting
import sayso.ledger.cases
import sayso.ledger.closing
import sayso.ledger.driving
import sayso.ledger.event_rows
import sayso.ledger.reconciling
import sayso.ledger.routing
import sayso.ledger.steps
import sayso_subscribers.publish
import sayso_subscribers.receive
import sayso_subscribers.reconcile
import sayso_worker.workflows.patterns
from sayso.contracts.approval_plan import Seat
from sayso.contracts.cloudevent import IncomingEvent
from sayso.contracts.workflow_io import ANSWERS_TO, StepInput, call_of
from sayso.correlation.verdict import Start
from sayso.errors import ConfigurationError, RefusedError, SaysoError
from sayso.ledger.states import EventState
from sayso.simulator.broken_transactions import TRANSACTION_MUTATIONS

Mutation = Callable[[], AbstractContextManager[Any]]
_numbers = count()
_routing: Any = sayso.ledger.routing


def _name_of_its_own(event: IncomingEvent) -> str:
    return sha256(f"{next(_numbers)}-{event.id}".encode()).hexdigest()


def _attribute(owner: Any, name: str, value: Any) -> Mutation:
    return lambda: patch.object(owner, name, value)


class _AcknowledgesAnyway:
    """A ledger that swallows what it could not commit."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def transact(self, work: Any, **how: Any) -> Any:
        try:
            return self._ledger.transact(work, **how)
        except SaysoError:
            return None


@contextmanager
def _ack_before_commit() -> Generator[None, None, None]:
    real = sayso_subscribers.receive.receiver
    with patch("sayso.simulator.processes.receiver", lambda ledger, wake: real(cast("Any", _AcknowledgesAnyway(ledger)), wake)):
        yield


def _state(value: Any) -> EventState:
    return EventState(value)


def _route_to(wrong: EventState, right: EventState) -> Callable[..., Any]:
    real = _routing.move

    def move(tx: Any, row: Any, state: EventState, reason: str, **values: Any) -> EventState:
        return _state(real(tx, row, wrong if state is right else state, reason, **values))

    return move


def _opens_again(tx: Any, row: Any, verdict: Start, *rest: Any) -> EventState:
    return _state(_real_start(tx, row, replace(verdict, treatment=replace(verdict.treatment, restarts=True)), *rest))


_real_start = _routing._start


@contextmanager
def _admits_everything() -> Generator[None, None, None]:
    with ExitStack() as stack:
        for module in (sayso.gate.admission, sayso_worker.workflows.patterns):
            stack.enter_context(patch.object(module, "admit", lambda *_: None))
        yield


def _never_mind(tx: Any, check: Any, settings: Any) -> bool:
    del settings
    sayso.ledger.reconciling.postpone_check(tx, check, 365 * 86_400_000)
    return False


def _marks_what_failed(self: Any, topic: str, rows: list[Any]) -> dict[int, str]:
    _real_publish(self, topic, rows)
    return {}


def _new_id_each_time(self: Any, topic: str, rows: list[Any]) -> dict[int, str]:
    renamed = [replace(row, body=row.body.replace(b'"id":"', f'"id":"{next(_numbers)}-'.encode(), 1)) for row in rows]
    return _real_publish(self, topic, renamed)


_real_publish = sayso_subscribers.publish.OutboxPublisher._publish


def _records_before_effect(name: str, effect: Any, ledger: Any, partners: Any) -> Any:
    steps = sayso.ledger.steps

    def activity(_ctx: Any, raw: dict[str, Any]) -> dict[str, Any]:
        step = StepInput.model_validate(raw)
        answer = ledger.read(partial(steps.earlier_result, step=step))
        if answer is None:
            answer = ledger.transact(partial(steps.complete_step, step=step, result={}))
            try:
                answer = effect(partners, step) if effect is not None else answer
            except RefusedError as error:
                answer = {"refused": str(error)}
        return {**answer, ANSWERS_TO: call_of(name, step.iteration)}

    activity.__name__ = name
    return activity


MUTATIONS: Mapping[str, tuple[str, Mutation]] = MappingProxyType(
    {
        "ack-before-commit": ("a message is acknowledged although its commit failed", _ack_before_commit),
        "no-dedupe": (
            "the same event in other bytes is another event",
            _attribute(IncomingEvent, "identity", property(_name_of_its_own)),
        ),
        "no-conflict": (
            "another content under a used identity is taken for a repetition",
            _attribute(IncomingEvent, "content_digest", property(lambda _event: "same")),
        ),
        "late-swallowed": (
            "an event of an ended case is put away without a word",
            lambda: patch.object(sayso.ledger.routing, "move", _route_to(EventState.RECORDED, EventState.LATE)),
        ),
        "unclaimed-forgotten": (
            "closing a case leaves what it did not use",
            _attribute(sayso.ledger.closing, "_mark_unclaimed", lambda *_: None),
        ),
        "held-forgotten": (
            "opening a case leaves its early events",
            _attribute(sayso.ledger.cases, "bind_held_events", lambda *_: None),
        ),
        "no-dead-letter": (
            "failed events are not published",
            _attribute(sayso.ledger.event_rows, "publish_dead_letter", lambda *_args, **_words: None),
        ),
        "ended-case-again": ("a finished case is opened again", _attribute(sayso.ledger.routing, "_start", _opens_again)),
        "marked-unpublished": (
            "the outbox marks what the broker did not take",
            _attribute(sayso_subscribers.publish.OutboxPublisher, "_publish", _marks_what_failed),
        ),
        "new-id-each-time": (
            "a publication that is repeated gets another id",
            _attribute(sayso_subscribers.publish.OutboxPublisher, "_publish", _new_id_each_time),
        ),
        "new-key-each-time": (
            "a rerun of an activity calls the partner under another key",
            _attribute(
                StepInput,
                "idempotency_key",
                property(lambda step: f"{step.case.instance_id}/{step.step}/{step.iteration}{next(_numbers)}"),
            ),
        ),
        "record-before-effect": (
            "a step is recorded before its effect",
            lambda: patch("sayso.simulator.processes.step_activity", _records_before_effect),
        ),
        "requester-decides": (
            "the gate does not know the requester",
            _attribute(sayso.gate.admission, "same_person", lambda *_: False),
        ),
        "any-amount": (
            "every payment pays",
            _attribute(sayso_worker.workflows.patterns, "_check_amount", lambda *_: sayso_worker.workflows.patterns.Captured()),
        ),
        "late-decision-counts": ("the gate does not look at the deadline", _admits_everything),
        "timer-believed": (
            "a timer is believed without asking the ledger",
            _attribute(sayso.ledger.steps, "confirm_deadline", lambda *_args, **_words: {"pending": 0, "early_ms": 0}),
        ),
        "no-reconciler": (
            "an instance that the engine has lost is never started again",
            _attribute(sayso_subscribers.reconcile, "found_absent", _never_mind),
        ),
        "restarted-without-memory": (
            "an instance that is started again does not get what the lost one had used",
            _attribute(sayso.ledger.driving, "_used_before", lambda *_: []),
        ),
        "one-of-all": (
            "one approval is enough where all must approve",
            _attribute(sayso.gate.stages, "answer_of", lambda _quorum, _seats, answers: answers[-1] if answers else None),
        ),
        "seats-for-anyone": (
            "the gate of stages knows nobody who may not decide",
            _attribute(sayso.gate.voting, "_seat_for", lambda _plan, _state, _stage, ballot, _now: Seat(holder=ballot.person)),
        ),
        **TRANSACTION_MUTATIONS,
    }
)


def mutated(name: str | None) -> AbstractContextManager[Any]:
    """Break it while the context lasts; None breaks nothing."""
    if name is None:
        return nullcontext()
    if name not in MUTATIONS:
        raise ConfigurationError(f'no mutation "{name}"; known: {", ".join(MUTATIONS)}')
    return MUTATIONS[name][1]()
