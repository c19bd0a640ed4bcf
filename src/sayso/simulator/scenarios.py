"""Scenarios: what a run is mostly about. The usual one has a little of everything; the others look where a race is rare.

In: a name. Out: shares and moments for `traffic.py`, and what of the weather is not drawn. The dice are those of the usual scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
DECISION_OFFSETS = (-2 * DAY, -MINUTE, 0, 0, SECOND, SECOND, MINUTE, MINUTE, MINUTE, HOUR, HOUR)
PAYMENT_OFFSETS = (-MINUTE, 0, SECOND, MINUTE, MINUTE, HOUR, 2 * HOUR, 2 * HOUR, 6 * DAY, 8 * DAY, 12 * DAY)
BESIDE_DEADLINE = (-1, -1, -1, 0, 1, 500, SECOND, 2 * SECOND, MINUTE)
BESIDE_PAYMENT_DEADLINE = tuple(8 * DAY + beside for beside in BESIDE_DEADLINE)
"""Of an order that is placed when its day for the approval is over, and then waits seven days."""
WHILE_IT_RUNS = (0, 50, 100, 200, 300, 500, 700, SECOND)


@dataclass(frozen=True)
class Scenario:
    """`decisions` weighs how many decisions a case gets: 0, 1, 2, 3; `beside_deadline` is the share of those that come when the
    time is over, just before or just after; the others, and payments, come so long after their order. The weather lasts so long
    after the last order.
    """

    decisions: tuple[int, int, int, int] = (8, 60, 22, 10)
    beside_deadline: float = 0.15
    decision_offsets: tuple[int, ...] = DECISION_OFFSETS
    payment_offsets: tuple[int, ...] = PAYMENT_OFFSETS
    weather: Mapping[str, Any] = field(default_factory=dict)
    calm_after_ms: int = 0
    stages: bool = False
    """Whether a policy's plan decides (`policies.py`), and people change their minds."""
    seats: bool = False
    """Whether several must approve, one after the other."""


USUAL = "usual"
DEADLINES = Scenario(
    beside_deadline=0.9,
    payment_offsets=BESIDE_PAYMENT_DEADLINE,
    weather={"engine_down": 0.3, "jump": 0},
    calm_after_ms=10 * DAY,
)
"""Deadlines are days after what is sent, and short runs are calm by then. A call that fails once is made again within a timer's grace
second: two in a row must fail across a deadline. And where a clock was set back, nobody can say any more what came in time.
"""
COLLISIONS = Scenario(
    decisions=(0, 60, 20, 20),
    beside_deadline=0,
    decision_offsets=WHILE_IT_RUNS,
    payment_offsets=(-MINUTE,),
    weather={
        "switch": 0.3,
        "slow": 0.15,
        "pauses_ms": (20, 50, 100, 300),
        "crash": 0.0005,
        "duplicate": 0.05,
        **dict.fromkeys(("engine_down", "lost_answer", "ledger_down", "lost_ack", "delay", "jump", "amnesia"), 0),
    },
)
"""A case lives about a second, one transaction of eight statements mostly pauses once, and decisions come all the while: so one is
bound while its case is started, driven, let go or closed. Pauses are as long as a few transactions, not longer, so that a short run
has many meetings. Mostly a case gets a single decision, and payments wait for it before it opens, because the next event of a case
makes good what was forgotten of the one before. Kills are left in, what merely repeats a call is left out.
"""
LAST_STEPS = Scenario(weather={"taken_in_turn": 0.8, "crash": 0.0015})
"""Workers take most last steps within the turn (ADR 0014), and are killed as often as in the worst weather."""
SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        USUAL: Scenario(),
        "deadlines": DEADLINES,
        "collisions": COLLISIONS,
        "stages": Scenario(beside_deadline=0.4, stages=True),
        "seats": Scenario(beside_deadline=0.2, stages=True, seats=True),
        "last_steps": LAST_STEPS,
    }
)
