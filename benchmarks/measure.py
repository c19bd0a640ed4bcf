"""The measurements: one round of N cases through one contestant, and what cases cost that only wait.

In: a warm driver. Out: plain figures, JSON-ready. A round has two parts: as fast as it goes (cases/s, CPU), then decisions at a fixed,
moderate rate (time from publish to woken).
"""

from __future__ import annotations

import math
import os
import statistics
import time
from dataclasses import asdict, dataclass

from benchmarks.drive import Driver
from benchmarks.figures import percentile
from benchmarks.meter import BENCH, Usage, usage

IDLE_SECONDS = 10.0
KNOWN = 100
WAITING_BATCH = 100


@dataclass(frozen=True)
class Flow:
    """As fast as it goes: all requests at once, then all decisions at once."""

    cases: int
    starts_per_second: float
    closes_per_second: float
    cases_per_second: float
    settle_seconds: float
    """From the last outcome until nothing was left to do; the CPU of this time is counted, its length is not."""
    cpu_ms_per_case: dict[str, float]
    cpu_ms_per_case_total: float
    others_cpu_percent: float


@dataclass(frozen=True)
class Wake:
    """Decisions at a fixed rate: from the publish of a decision to the effect of the first activity after it."""

    cases: int
    decisions_per_second: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    others_cpu_percent: float


@dataclass(frozen=True)
class Round:
    """One contestant once."""

    contestant: str
    load_average: float
    """Of one minute, before the round; the round before it is in it too. `others_cpu_percent` is the better witness."""
    flow: Flow
    wake: Wake
    rss_mb: dict[str, float]


@dataclass(frozen=True)
class Waiting:
    """What cases cost that wait."""

    contestant: str
    load_average: float
    cases: int
    starts_per_second: float
    starts_per_second_first_tenth: float
    """The median of its batches."""
    starts_per_second_last_tenth: float
    rss_kb_per_case: dict[str, float]
    rss_kb_per_case_total: float
    idle_cpu_percent: dict[str, float]
    """Percent of one core that each process uses while all of them only wait."""
    others_cpu_percent: float


@dataclass(frozen=True)
class Duplicates:
    """How fast messages that came before are absorbed."""

    contestant: str
    load_average: float
    duplicates: int
    absorbed_per_second: float
    cpu_ms_per_duplicate: dict[str, float]
    others_cpu_percent: float


def measure_flow(driver: Driver, count: int) -> Flow:
    """N requests, then N decisions. The pause between both, in which the benchmark notices, is nobody's time."""
    before = driver.meter.read()
    opened = driver.open_cases("flow-", count)
    starting = max(driver.traces.waiting_since("flow-").values()) - opened
    decided = min(driver.decide("flow-", count).values())
    ended = max(at for key, at in driver.ended_at.items() if key.startswith("flow-"))
    settled = driver.settle()
    used = usage(before, driver.meter.read())
    per_case = _per_case(used, count)
    return Flow(
        cases=count,
        starts_per_second=count / starting,
        closes_per_second=count / (ended - decided),
        cases_per_second=count / (starting + ended - decided),
        settle_seconds=max(0.0, settled - ended),
        cpu_ms_per_case=per_case,
        cpu_ms_per_case_total=sum(ms for name, ms in per_case.items() if name != BENCH),
        others_cpu_percent=used.others_percent,
    )


def measure_wake(driver: Driver, count: int, rate: float) -> Wake:
    """Decision i at second i/rate."""
    driver.open_cases("wake-", count)
    driver.settle()
    before = driver.meter.read()
    published = driver.decide("wake-", count, rate)
    used = usage(before, driver.meter.read())
    woken = driver.traces.woken_at("wake-")
    took_ms = [1000 * (woken[key] - at) for key, at in published.items()]
    return Wake(count, rate, percentile(took_ms, 50), percentile(took_ms, 95), max(took_ms), used.others_percent)


def measure_duplicates(driver: Driver, count: int, load_average: float) -> Duplicates:
    """Every request of a hundred cases that wait, again and again."""
    driver.open_cases("again-", KNOWN)
    driver.settle()
    before = driver.meter.read()
    took = driver.repeat_requests("again-", KNOWN, count)
    used = usage(before, driver.meter.read())
    return Duplicates(driver.contestant.name, load_average, count, count / took, _per_case(used, count), used.others_percent)


def measure_round(driver: Driver, count: int, rate: float | None, load_average: float) -> Round:
    """Both parts; without a rate, half of what the contestant itself closed a second."""
    flow = measure_flow(driver, count)
    wake = measure_wake(driver, max(1, count // 2), rate or flow.closes_per_second / 2)
    return Round(driver.contestant.name, load_average, flow, wake, _megabytes(driver))


def measure_waiting(driver: Driver, count: int, load_average: float) -> Waiting:
    """Start `count` cases, a batch when all of the one before it wait, and leave them waiting."""
    before = driver.meter.read()
    sizes = [min(WAITING_BATCH, count - done) for done in range(0, count, WAITING_BATCH)]
    took = [_start_and_leave(driver, f"idle-{number}-", size) for number, size in enumerate(sizes)]
    rates = [size / seconds for size, seconds in zip(sizes, took, strict=True)]
    driver.settle()
    after = driver.meter.read()
    time.sleep(IDLE_SECONDS)
    idle = usage(after, driver.meter.read())
    per_case = {name: (after.rss_bytes[name] - before.rss_bytes[name]) / 1024 / count for name in after.rss_bytes if name != BENCH}
    tenth = math.ceil(len(rates) / 10)
    return Waiting(
        contestant=driver.contestant.name,
        load_average=load_average,
        cases=count,
        starts_per_second=count / sum(took),
        starts_per_second_first_tenth=statistics.median(rates[:tenth]),
        starts_per_second_last_tenth=statistics.median(rates[-tenth:]),
        rss_kb_per_case=per_case,
        rss_kb_per_case_total=sum(per_case.values()),
        idle_cpu_percent={name: 100 * seconds / idle.seconds for name, seconds in idle.cpu_seconds.items() if name != BENCH},
        others_cpu_percent=usage(before, after).others_percent,
    )


def load_average() -> float:
    """Of the last minute."""
    return os.getloadavg()[0]


def as_json(figures: Round | Waiting | Duplicates) -> dict[str, object]:
    """The figures, rounded to what they mean."""
    return {name: _rounded(value) for name, value in asdict(figures).items()}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def _per_case(used: Usage, count: int) -> dict[str, float]:
    return {name: 1000 * seconds / count for name, seconds in used.cpu_seconds.items()}


def _megabytes(driver: Driver) -> dict[str, float]:
    return {name: size / 2**20 for name, size in driver.meter.read().rss_bytes.items() if name != BENCH}


def _start_and_leave(driver: Driver, prefix: str, count: int) -> float:
    """How long it took, in seconds; the pause in which the benchmark notices is nobody's time."""
    opened = driver.open_cases(prefix, count)
    return max(driver.traces.waiting_since(prefix).values()) - opened
