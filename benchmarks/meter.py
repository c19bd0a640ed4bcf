"""What processes cost: CPU time by process, memory, and how much of the machine somebody else used meanwhile.

In: the processes of a stack. Out: `Reading`s and what lies between two of them. The children of a process count with it
(PostgreSQL has one for each connection).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from sayso.errors import SaysoError
from sayso.testing.stack import StackHandle

BENCH = "(this benchmark)"
SUPERVISOR = "supervisor"


class ProcessEndedError(SaysoError):
    """A process was started again in the middle of a measurement."""


@dataclass(frozen=True)
class Reading:
    """One moment: CPU seconds used so far and resident bytes by process, and CPU seconds of the whole machine."""

    at: float
    cpu_seconds: Mapping[str, float]
    rss_bytes: Mapping[str, int]
    machine_seconds: float


@dataclass(frozen=True)
class Usage:
    """What lies between two readings."""

    seconds: float
    cpu_seconds: dict[str, float]
    others_percent: float
    """How much of the machine's CPU processes used that are none of ours: noise in every other number."""

    @property
    def stack_seconds(self) -> float:
        """CPU of the stack, without the benchmark itself."""
        return sum(seconds for name, seconds in self.cpu_seconds.items() if name != BENCH)


class Meter:
    """Reads one running stack; `labels` renames its processes."""

    def __init__(self, stack: StackHandle, labels: Mapping[str, str]) -> None:
        named = {labels.get(name, name): process for name, process in stack.processes().items()}
        self._processes = named | {
            SUPERVISOR: psutil.Process(stack.state.supervisor_pid),
            BENCH: psutil.Process(),
        }

    def read(self) -> Reading:
        """Now. A process that has ended since the meter was made is an error: its numbers would be another's."""
        cpu: dict[str, float] = {}
        rss: dict[str, int] = {}
        for name, process in self._processes.items():
            family = [process] if name in (BENCH, SUPERVISOR) else _family(name, process)
            cpu[name] = sum(_cpu_seconds(member) for member in family)
            rss[name] = sum(_rss_bytes(member) for member in family)
        return Reading(time.time(), cpu, rss, _machine_seconds())


def usage(before: Reading, after: Reading) -> Usage:
    """What was used from `before` to `after`."""
    cpu = {name: after.cpu_seconds[name] - before.cpu_seconds[name] for name in after.cpu_seconds}
    seconds = after.at - before.at
    others = after.machine_seconds - before.machine_seconds - sum(cpu.values())
    return Usage(seconds, cpu, max(0.0, 100 * others / (seconds * (os.cpu_count() or 1))))


def _family(name: str, process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess as error:
        raise ProcessEndedError(f"{name} ended while it was measured; its log says why") from error


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # a child that ended between the two calls
        return 0.0
    return times.user + times.system


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))
