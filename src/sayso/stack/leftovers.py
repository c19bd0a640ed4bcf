"""Processes that a stack left behind.

In: pid and create time from `stack.json`. Out: those of them that still run, and their end.
Invariant: a process is signalled only if pid AND create time match, so that a foreign process that got the pid is never hit.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

from sayso.stack.state import StackState

CREATE_TIME_TOLERANCE_SECONDS = 1.0
"""Create times are counted from boot; the boot time that they are added to moves with the clock."""

TERM_SECONDS = 5.0


def find(pid: int | None, create_time: float | None) -> psutil.Process | None:
    """The running process with this identity, or None."""
    if pid is None or create_time is None:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - create_time) <= CREATE_TIME_TOLERANCE_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def supervisor_of(state: StackState | None) -> psutil.Process | None:
    """The supervisor that keeps this stack, if it still runs."""
    return find(state.supervisor_pid, state.supervisor_create_time) if state else None


def reap(state: StackState, term_seconds: float = TERM_SECONDS) -> list[str]:
    """End every process of a stack whose supervisor is gone: the names of those that still ran."""
    found = [(process.name, find(process.pid, process.create_time)) for process in state.processes]
    running = [(name, process) for name, process in found if process is not None]
    _signal((process for _, process in running), signal.SIGTERM)
    _, stubborn = psutil.wait_procs([process for _, process in running], timeout=term_seconds)
    _signal(stubborn, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=term_seconds)
    return [name for name, _ in running]


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:  # each of our children leads a group of its own
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
