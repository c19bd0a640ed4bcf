"""Drives one contestant on its stack: publishes requests and decisions as other systems do, waits until all came of it.

In: a running stack. Out: when what happened. Every wait ends when nothing moves any more: a benchmark that hangs says where.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.contestants import Contestant, SaysoTraces
from benchmarks.meter import Meter, usage
from benchmarks.topics import Outgoing, Topics, connect
from sayso.contracts.cloudevent import SPEC_VERSION
from sayso.errors import SaysoError
from sayso.stack.state import Broker, LedgerKind
from sayso.testing.demo_signer import DemoSigner
from sayso.testing.stack import StackHandle, running_stack

STILL_SECONDS = 60.0
POLL_SECONDS = 0.1
POLL_SHARE = 20
"""A poll that took long rests this many times as long: watching must not become part of the load."""

QUIET_WINDOW_SECONDS = 0.5
QUIET_CPU_SHARE = 0.2
QUIET_SECONDS_MAX = 15.0
AMOUNT = 5_000  # above both contestants' threshold for an approval


class StuckError(SaysoError):
    """Nothing moved for a minute; its text says how far it came and where the logs are."""


@dataclass
class Driver:
    """One contestant on one running stack."""

    contestant: Contestant
    stack: StackHandle
    topics: Topics
    meter: Meter

    def __post_init__(self) -> None:
        self.traces = self.contestant.traces(self.stack)
        self.ended_at: dict[str, float] = {}
        self._signer = DemoSigner.of(self.stack.options)

    def open_cases(self, prefix: str, count: int) -> float:
        """Publish `count` requests in one pipeline and wait until all of their cases wait; when the first was published."""
        requests = [_request(f"{prefix}{number}") for number in range(count)]
        for request in requests:
            self._signer.note("requests", request.body)
        began = time.time()
        self.topics.publish("requests", requests)
        self._await(lambda: self.traces.count_waiting(prefix), count, "cases wait for their decision")
        return began

    def decide(self, prefix: str, count: int, rate: float | None = None) -> dict[str, float]:
        """Publish a decision for each, at once or `rate` a second, and wait for all outcomes: key → when it was published."""
        decisions = [self._signed(_decision(f"{prefix}{number}")) for number in range(count)]  # the approvers' work, before the clock
        began = time.time()
        if rate is None:
            self.topics.publish("approvals", decisions)
            published = dict.fromkeys((decision.key for decision in decisions), began)
        else:
            published = dict(self._publish_paced(decisions, rate))
        self._await(lambda: self._count_ended(prefix), count, "cases have ended")
        return published

    def repeat_requests(self, prefix: str, known: int, count: int) -> float:
        """Publish requests that have been published before, `count` of the first `known`; seconds until all were counted."""
        assert isinstance(self.traces, SaysoTraces), "only Sayso counts repetitions"
        before, repetitions = self.traces.count_repetitions(), self.traces.count_repetitions
        began = time.time()
        self.topics.publish("requests", [_request(f"{prefix}{number % known}") for number in range(count)])
        self._await(lambda: repetitions() - before, count, "repetitions are counted")
        return time.time() - began

    def settle(self) -> float:
        """Wait until nothing is left to do and the stack rests; when nothing was left."""
        left = self.traces.left_to_do()
        self._await(lambda: left - self.traces.left_to_do(), left, "due rows of the ledger are done")
        done = time.time()
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        before = self.meter.read()
        while time.monotonic() < deadline:
            time.sleep(QUIET_WINDOW_SECONDS)
            now = self.meter.read()
            used = usage(before, now)
            if used.stack_seconds < QUIET_CPU_SHARE * used.seconds:
                break
            before = now
        return done

    def close(self) -> None:
        """Let go of the stack."""
        self.traces.close()
        self.topics.close()

    def _signed(self, decision: Outgoing) -> Outgoing:
        return replace(decision, body=self._signer.sign("approvals", decision.body))

    def _publish_paced(self, decisions: list[Outgoing], rate: float) -> Iterator[tuple[str, float]]:
        began = time.time()
        for number, decision in enumerate(decisions):
            time.sleep(max(0.0, began + number / rate - time.time()))
            at = time.time()
            self.topics.publish("approvals", [decision])
            yield decision.key, at

    def _count_ended(self, prefix: str) -> int:
        contestant = self.contestant
        for outcome in self.topics.new_outcomes():
            verdict = outcome.data[contestant.verdict_field]
            assert verdict == "approved", f"{contestant.title}: a case ended as {verdict}: {outcome.data}"
            self.ended_at.setdefault(str(outcome.data[contestant.key_field]), outcome.at)
        return sum(key.startswith(prefix) for key in self.ended_at)

    def _await(self, count: Callable[[], int], wanted: int, what: str) -> None:
        best, moved = None, time.monotonic()
        while True:
            began = time.monotonic()
            so_far = count()
            if so_far >= wanted:
                return
            now = time.monotonic()
            if best is None or so_far > best:
                best, moved = so_far, now
            if now - moved > STILL_SECONDS:
                where = self.stack.options.logs
                raise StuckError(f"{self.contestant.title}: {so_far} of {wanted} {what}, and nothing moves; logs: {where}")
            time.sleep(max(POLL_SECONDS, POLL_SHARE * (now - began)))


@dataclass(frozen=True)
class Ground:
    """On what kind of stack, and where."""

    broker: Broker
    ledger: LedgerKind
    state_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def driven(contestant: Contestant, ground: Ground, warm_up: int) -> Iterator[Driver]:
    """A fresh stack with this contestant on it, warm: `warm_up` cases went through it from end to end."""
    folder = ground.state_dir / contestant.name
    with running_stack(
        folder,
        broker=ground.broker,
        ledger=ground.ledger,
        project=contestant.project,
        env_overrides=ground.environment,
        fresh=True,
    ) as stack:
        stack.wait_ready()
        topics = connect(ground.broker, stack.state.broker_address)
        driver = Driver(contestant, stack, topics, Meter(stack, contestant.labels))
        try:
            driver.open_cases("warm-", warm_up)
            driver.decide("warm-", warm_up)
            driver.settle()
            yield driver
        finally:
            driver.close()


def _request(key: str) -> Outgoing:
    data = {"request_id": key, "requester": "carol", "amount": AMOUNT, "description": "a new laptop"}
    return Outgoing(key, _event(f"request-{key}", "com.acme.request.submitted.v1", data))


def _decision(key: str) -> Outgoing:
    data = {"request_id": key, "approved": True, "approver": "alice", "reason": "within the budget"}
    return Outgoing(key, _event(f"decision-{key}", "sayso.approval.decided.v1", data))


def _event(event_id: str, event_type: str, data: Mapping[str, object]) -> bytes:
    """A structured CloudEvent as any system may write it."""
    event = {"specversion": SPEC_VERSION, "id": event_id, "source": "/bench", "type": event_type}
    return json.dumps({**event, "datacontenttype": "application/json", "data": data}).encode()
