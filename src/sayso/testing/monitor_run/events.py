"""The events of a run: changes, pauses and resumptions at random moments, many of them sent twice.

In: a seed, a broker. Out: what was sent, and how often. Invariants: no more of one type than a case is given; whoever pauses also
resumes.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sayso.testing.foreign_client import ForeignClient
from sayso.testing.monitor_run.expected import tells_recovery

OF_ONE_TYPE_MAX = 90
SENT_TWICE = 0.3
FORBIDDEN = "http://169.254.169.254/latest/meta-data"
"""Where nobody may be led: a cloud's metadata service."""


@dataclass
class Sender:
    """Sends events about one monitor."""

    broker: ForeignClient
    job_id: str
    address: str
    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    """Id → how often."""
    kinds: Counter[str] = field(default_factory=Counter)
    changes: int = 0

    def __post_init__(self) -> None:
        """One random order."""
        self.rng = random.Random(f"{self.seed}/events")  # noqa: S311 - a plan, no secret

    def disturb(self) -> bool:
        """Something at random. Whether that was a pause, which is to be resumed."""
        if self.rng.random() < 0.5:
            self.change()
            return False
        paused = self.kinds["paused"] < OF_ONE_TYPE_MAX
        if paused:
            self.send("paused")
        return paused

    def change(self) -> None:
        """Another path of the target, which its log shows, and another rule with it."""
        if self.kinds["changed"] >= OF_ONE_TYPE_MAX:
            return
        self.changes += 1
        target = f"{self.address}/health/{self.changes}"
        self.send("changed", target=target, recovery_notice=tells_recovery(self.changes))

    def send(self, kind: str, **fields: Any) -> str:
        """One event, now and then twice; gives its id."""
        number = sum(self.kinds.values())
        event_id = f"{self.job_id}-{number}-{kind}"
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/monitor-run",
            "type": f"com.acme.health-monitor.{kind}.v1",
            "datacontenttype": "application/json",
            "data": {"job_id": self.job_id, **fields},
        }
        for _ in range(2 if self.rng.random() < SENT_TWICE else 1):
            self.broker.send("monitors", json.dumps(event).encode(), self.job_id)
            self.sent[event_id] += 1
        self.kinds[kind] += 1
        return event_id
