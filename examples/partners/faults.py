"""Failures and delays on demand, so that the failure paths of a caller can be reached.

In: request headers, rules, or environment variables for every request. Out: a pause, or a status to answer with instead.

| header | variable | what happens |
|---|---|---|
| `X-Partner-Delay-Ms: 200` | `PARTNERS_DELAY_MS=200` | waits first |
| `X-Partner-Fail: 503` | `PARTNERS_FAIL_EVERY=N` (every Nth POST, 503) | answers so; nothing was performed |
| `X-Partner-Fail-After: 503` | `PARTNERS_FAIL_AFTER_EVERY=N` | performs and remembers, then answers so: the answer got lost |

A rule strikes one resource, its do or its undo, for one subject or all: `PUT /faults`, or `PARTNERS_FAULTS` as JSON at the start.
The first rule that fits a request counts; a header counts before it.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

DELAY_MS_MAX = 60_000
EVERY_MAX = 1_000_000


class Rule(BaseModel):
    """`[{"resource": "dashboard", "status": 503, "every": 3}]`: every third update of the dashboard fails."""

    model_config = ConfigDict(extra="forbid")

    resource: str
    undo: bool = False
    subject: str | None = Field(None, description="Only this order, trip or task.")
    status: int = Field(0, ge=0, le=599, description="Answered instead; 0: none, only the delay.")
    after: bool = Field(False, description="Performs first: the answer got lost.")
    delay_ms: int = Field(0, ge=0, le=DELAY_MS_MAX)
    times: int | None = Field(None, ge=1, description="So often, then no more.")
    every: int = Field(1, ge=1, le=EVERY_MAX, description="Every so-manieth request that fits.")


RULES = TypeAdapter(list[Rule])


@dataclass(frozen=True)
class Target:
    """What a request is about."""

    resource: str
    undo: bool
    subject: str


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: the status to answer before, or after, the effect (0: none)."""

    before: int = 0
    after: int = 0


@dataclass
class Faults:
    """The service's settings; counts its POSTs."""

    delay_ms: int = 0
    fail_every: int = 0
    fail_after_every: int = 0
    rules: list[Rule] = field(default_factory=list)
    _posts: count[int] = field(default_factory=lambda: count(1))
    _by_place: dict[tuple[str, bool, str | None], list[Rule]] = field(default_factory=dict)
    _fitted: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.set_rules(self.rules)

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """These rules, and no others."""
        self.rules = list(rules)
        self._fitted.clear()
        self._by_place = {}
        for rule in self.rules:
            self._by_place.setdefault((rule.resource, rule.undo, rule.subject), []).append(rule)

    @classmethod
    def from_environment(cls) -> Faults:
        """Read the variables; ValueError if one is no whole number."""
        return cls(
            delay_ms=_whole(os.environ, "PARTNERS_DELAY_MS", 0, DELAY_MS_MAX),
            fail_every=_whole(os.environ, "PARTNERS_FAIL_EVERY", 0, EVERY_MAX),
            fail_after_every=_whole(os.environ, "PARTNERS_FAIL_AFTER_EVERY", 0, EVERY_MAX),
            rules=RULES.validate_json(os.environ.get("PARTNERS_FAULTS", "[]")),
        )

    async def strike(self, headers: Mapping[str, str], target: Target) -> Fault:
        """Wait as told, and say what goes wrong; ValueError for a header that makes no sense."""
        number = next(self._posts)
        rule = self._rule_for(target)
        delay_ms = _whole(headers, "X-Partner-Delay-Ms", 0, DELAY_MS_MAX) or (rule.delay_ms if rule else 0) or self.delay_ms
        before = _whole(headers, "X-Partner-Fail", 400, 599)
        after = _whole(headers, "X-Partner-Fail-After", 400, 599)
        if rule is not None and not before and not after:
            before, after = (0, rule.status) if rule.after else (rule.status, 0)
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        return Fault(before or _status_at(number, self.fail_every), after or _status_at(number, self.fail_after_every))

    async def strike_by_rule(self, target: Target) -> Fault:
        """The same for what is no request: rules alone count."""
        rule = self._rule_for(target)
        if rule is None:
            return Fault()
        await asyncio.sleep(rule.delay_ms / 1000)
        return Fault(after=rule.status) if rule.after else Fault(before=rule.status)

    def _rule_for(self, target: Target) -> Rule | None:
        """The first rule that fits and is not used up; a fitting request counts for it also when it is spared."""
        for subject in (target.subject, None):
            for rule in self._by_place.get((target.resource, target.undo, subject), ()):
                self._fitted[id(rule)] += 1
                fitted = self._fitted[id(rule)]
                if fitted % rule.every == 0 and (rule.times is None or fitted // rule.every <= rule.times):
                    return rule
        return None


def _status_at(number: int, every: int) -> int:
    return 503 if every and number % every == 0 else 0


def _whole(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    """The value of this name; 0 when it is absent."""
    text = values.get(name)
    if text is None:
        return 0
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)
