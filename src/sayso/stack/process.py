"""One process of the stack, as its part declares it and the supervisor keeps it.

In: command, environment and a probe. Out: a running child with its log, or its exit code.
Invariant: on Linux a child dies with its supervisor, even when that is killed with -9.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from sayso.stack.system_user import SystemUser

Probe = Callable[[], Awaitable[str]]
"""Asks a process whether it is ready: an empty text, or what is still missing, for a person."""


class Layer(IntEnum):
    """What stops first: the highest. Within a layer all stop at once."""

    STORAGE = 0
    CONTROL_PLANE = 1
    APP = 2
    SIDECAR = 3


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """How to start, probe and stop one process."""

    name: str
    command: tuple[str, ...]
    directory: Path
    probe: Probe
    layer: Layer
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    """Names of the processes that must be ready before this one is started, again too."""
    prepare: Callable[[], None] | None = None
    """Runs once before the first start; it may block."""
    user: SystemUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    ready_seconds: float = 60.0


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with(parent_pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Between fork and exec: have the kernel send `number` to this process when its parent ends.

    On macOS there is no such thing; there `sayso down` and the next `sayso up` end what is left over.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent_pid:  # it ended before the kernel knew
            os._exit(1)


def let_others_finish() -> None:
    """Between fork and exec: this process does not interrupt the one that runs when it has something to do (ADR 0020).

    A hint to Linux, which a container's rules may forbid.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


async def spawn(spec: ProcessSpec, log: Path) -> asyncio.subprocess.Process:
    """Start the process in a session of its own, so that Ctrl-C reaches only the supervisor.

    Call it on the main thread: the kernel ties the child to the thread that made it.
    """
    parent = os.getpid()

    def prepare_child() -> None:
        die_with(parent)
        let_others_finish()

    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *spec.command,
            cwd=spec.directory,
            env={**os.environ, **spec.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=prepare_child,
            **(spec.user.popen_arguments() if spec.user else {}),
        )


async def stop(child: asyncio.subprocess.Process, spec: ProcessSpec) -> None:
    """Ask, wait for the spec's deadline, then kill; the whole group, for children of children."""
    signal_group(child.pid, spec.stop_signal)
    try:
        async with asyncio.timeout(spec.stop_seconds):
            await child.wait()
    except TimeoutError:
        signal_group(child.pid, signal.SIGKILL)
        await child.wait()


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that this child leads; one that is gone already is fine."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
