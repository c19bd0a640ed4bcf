"""One monitor run: a stack of its own, one health monitor with short intervals, events all along; then everything is counted.

In: terms. Out: `Result` with figures at several points and everything that is wrong. Invariants that are checked: the alerts on the
topic are those that the target's log calls for; every event is `consumed`, `refused` or `late`; repetitions are counted as such.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from sayso.engine import DaprEngine
from sayso.ledger import Ledger
from sayso.ledger.schema import cases, events
from sayso.stack.state import Broker, LedgerKind
from sayso.testing.foreign_client import ForeignClient, foreign_client_of
from sayso.testing.monitor_run.events import FORBIDDEN, Sender
from sayso.testing.monitor_run.expected import expected_alerts
from sayso.testing.monitor_run.figures import Point, measure
from sayso.testing.monitor_run.target import SeededTarget, serving
from sayso.testing.stack import StackHandle, running_stack

JOB = "monitored-1"
WORKFLOW = "health_monitor_workflow"
TIMEOUT_SECONDS = 2.0
SETTINGS = {
    "SAYSO_HEALTH_MONITOR__HEALTHY_INTERVAL": "PT0.06S",
    "SAYSO_HEALTH_MONITOR__UNHEALTHY_INTERVAL": "PT0.005S",
    "SAYSO_MONITOR__TIMEOUT": f"PT{TIMEOUT_SECONDS}S",
}
"""60 and 5 minutes, sixty thousand times as fast; a check's time limit is as long as a loaded machine needs."""
IDLE_SECONDS = 6.0
GIVEN_UP_SECONDS = 120.0
END_SECONDS = 60.0
POLL_SECONDS = 0.02
POINTS = 10


@dataclass(frozen=True)
class Terms:
    """What to run."""

    iterations: int
    state_dir: Path
    seed: int = 1
    broker: Broker = "valkey"
    ledger: LedgerKind = "sqlite"


@dataclass
class Result:
    """What came of it."""

    terms: Terms
    checks: int = 0
    unanswered: int = 0
    """Checks whose request did not reach the target in time."""
    alerts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    """By type and state."""
    repetitions: int = 0
    changes_seen: int = 0
    points: list[Point] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0


def monitor_run(terms: Terms, say: Callable[[str], None]) -> Result:
    """Run it."""
    begun = time.monotonic()
    result = Result(terms)
    options: dict[str, Any] = {"broker": terms.broker, "ledger": terms.ledger, "env_overrides": SETTINGS, "fresh": True}
    with serving(terms.seed, 4 * TIMEOUT_SECONDS) as target, running_stack(terms.state_dir, **options) as stack:
        ledger, broker = Ledger(stack.state.ledger_url), foreign_client_of(stack.state)
        try:
            run = _Run(terms, target, stack, ledger, broker, result)
            run.begin()
            run.disturb_until_enough(say)
            run.stop()
            run.judge()
        finally:
            broker.close()
            ledger.close()
    result.seconds = time.monotonic() - begun
    return result


@dataclass
class _Run:
    """The parts of one run."""

    terms: Terms
    target: SeededTarget
    stack: StackHandle
    ledger: Ledger
    broker: ForeignClient
    result: Result

    def __post_init__(self) -> None:
        self.sender = Sender(self.broker, JOB, self.target.address, self.terms.seed)
        self.engine = DaprEngine(timedelta(seconds=10), "127.0.0.1", self.stack.state.dapr_grpc_port)

    def begin(self) -> None:
        """Start the monitor, twice, and try to lead it where it must not look."""
        self.sender.send("started", target=f"{self.target.address}/health/0")
        self._until(lambda: self.target.checks > 0, "the first check")
        self.sender.send("changed", target=FORBIDDEN)

    def disturb_until_enough(self, say: Callable[[str], None]) -> None:
        """Events at random moments until it has made so many checks."""
        every = max(1, self.terms.iterations // POINTS)
        for goal in range(every, self.terms.iterations + 1, every):
            self._disturb_until(goal)
            case = self._case()
            sent = sum(self.sender.sent.values())
            self.result.points.append(measure(self.stack, self.ledger, self.engine, case.instance_id, self.target.checks, sent))
            say(f"{self.target.checks} checks, {sent} messages sent")

    def _disturb_until(self, goal: int) -> None:
        """As many events between two points as the type's limit leaves for all of the run."""
        pause = max(2, self.terms.iterations // 150)
        following = self.target.checks + self.sender.rng.randint(1, pause)
        seen, since = self.target.checks, time.monotonic()
        while self.target.checks < goal:
            if self.target.checks != seen:
                seen, since = self.target.checks, time.monotonic()
            if self.target.checks >= following:
                if self.sender.disturb():
                    time.sleep(self.sender.rng.uniform(0, 0.3))
                    self.sender.send("resumed")
                following = self.target.checks + self.sender.rng.randint(1, 2 * pause)
            elif time.monotonic() - since > IDLE_SECONDS:  # the broker may have put a pause behind its resumption
                self.sender.send("resumed")
                since += IDLE_SECONDS
                if time.monotonic() - since > GIVEN_UP_SECONDS:
                    raise AssertionError(f"no check for {GIVEN_UP_SECONDS:.0f} s after {seen}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop it, and send one more."""
        self.sender.send("stopped", reason="the run is over")
        self._until(lambda: self._case().phase == "closed", "its end")
        self.sender.send("paused")
        self._until(lambda: not self._unsettled(), "a final state of every event")

    def judge(self) -> None:
        """Compare what there is with what there must be."""
        result, wrong = self.result, self.result.wrong
        result.checks = self.target.checks
        counted = json.loads(self._case().result)["check_count"]
        if counted < max(self.target.asked):
            wrong.append(f"the monitor counted {counted} checks, its target {result.checks}")
        result.unanswered = counted - result.checks
        self._judge_alerts(counted)
        self._judge_events()
        seen = [self.target.asked[number].change for number in sorted(self.target.asked)]
        result.changes_seen = len(set(seen) - {0})

    def _judge_alerts(self, checks: int) -> None:
        wanted = expected_alerts(self.target.asked, checks)
        told: dict[str, tuple[int, str]] = {}

        def read() -> bool:
            for body in self.broker.read("alerts"):
                event = json.loads(body)
                if event["type"] == "sayso.monitor.alerted.v1":
                    told[event["id"]] = (event["data"]["check_count"], event["data"]["severity"])
                elif event["id"] not in complaints:
                    complaints[event["id"]] = f"an alert of another kind: {event['data']}"
            return len(told) >= len(wanted)

        complaints: dict[str, str] = {}
        self._until(read, f"{len(wanted)} alerts on the topic")
        self.result.wrong += complaints.values()
        if sorted(told.values()) != wanted:
            missing, needless = sorted(set(wanted) - set(told.values())), sorted(set(told.values()) - set(wanted))
            self.result.wrong.append(f"alerts missing: {missing[:20]}; not called for: {needless[:20]}")
        self.result.alerts.update(severity for _, severity in told.values())

    def _judge_events(self) -> None:
        rows = {row.event_id: row for row in self._events()}
        for event_id, times in self.sender.sent.items():
            row = rows.get(event_id)
            if row is None:
                self.result.wrong.append(f"{event_id} is not in the ledger")
                continue
            kind = event_id.rpartition("-")[2]
            self.result.events[f"{kind}: {row.state}"] += 1
            if row.sightings != times:
                self.result.wrong.append(f"{event_id} was sent {times} times and seen {row.sightings} times")
            self.result.repetitions += row.sightings - 1
        refused = [row.reason for row in rows.values() if row.state == "refused"]
        if len(refused) != 1 or FORBIDDEN not in str(refused[0]):
            self.result.wrong.append(f"refused: {refused}")

    def _events(self) -> Sequence[Row[Any]]:
        return self.ledger.read(lambda tx: tx.all(select(events).where(events.c.source == "/monitor-run")))

    def _unsettled(self) -> list[str]:
        final = {"started", "consumed", "refused", "late", "unclaimed"}
        rows = {row.event_id: row.state for row in self._events()}
        return [event_id for event_id in self.sender.sent if rows.get(event_id) not in final]

    def _case(self) -> Row[Any]:
        case = self.ledger.read(lambda tx: tx.one(select(cases).where(cases.c.key == JOB, cases.c.workflow == WORKFLOW)))
        assert case is not None, "the monitor was started"
        return case

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + END_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                self.result.wrong.append(f"not within {END_SECONDS:.0f} s: {what}; unsettled: {self._unsettled()[:10]}")
                return
            time.sleep(POLL_SECONDS)
