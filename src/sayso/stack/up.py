"""`sayso up`: from options to a running stack and back to nothing.

In: `UpOptions`, a listener that shows progress. Out: a stack that runs until SIGINT, SIGTERM or SIGHUP.
Invariants: one supervisor a state folder (a lock that the kernel releases when it dies); what an earlier one left behind is ended
before anything starts; after the end nothing of ours runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sayso.errors import ConfigurationError, SaysoError
from sayso.stack import leftovers, logs
from sayso.stack.plan import StackPlan, Tools, UpOptions
from sayso.stack.state import FILE_NAME, ProcessState, ProcessStatus, StackState, StackStatus
from sayso.stack.supervisor import Supervisor

READY_SECONDS = 120.0
HOUSEKEEPING_SECONDS = 5.0
LOCK_NAME = "supervisor.lock"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEDGER_FILES = ("ledger.db*", "notices*")

Shown = Callable[[StackState], None]


class StackFailedError(SaysoError):
    """The stack did not become ready; its text names the process, the reason and the log."""


def run_stack(options: UpOptions, tools: Tools, show: Shown) -> None:
    """Start, keep and stop the stack; returns after a signal asked it to stop."""
    options.state_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(options.state_dir):
        end_leftovers(options.state_dir)
        if options.fresh:
            wipe(options.state_dir)
        logs.begin_new_run(options.logs)
        plan = StackPlan(options, tools)
        asyncio.run(_Run(options, plan, show).run())


def already_running(state_dir: Path) -> ConfigurationError:
    """What to tell who starts a second stack in the same folder."""
    state = StackState.load(state_dir)
    pid = f" (supervisor {state.supervisor_pid})" if state else ""
    return ConfigurationError(
        f"the stack in {state_dir} is already running{pid}; `sayso status` shows it, `sayso down` stops it, "
        "--state-dir DIR starts another beside it"
    )


def end_leftovers(state_dir: Path) -> list[str]:
    """End what a supervisor that was killed left running: the names of those processes."""
    state = StackState.load(state_dir)
    if state is None or leftovers.supervisor_of(state) is not None:
        return []
    return leftovers.reap(state)


def wipe(state_dir: Path) -> None:
    """Remove data, ledger and notices of this folder, and nothing that we did not put there."""
    if (state_dir / "data" / "postgresql").exists():
        from sayso.stack import postgresql  # noqa: PLC0415 - part of an extra

        postgresql.wipe(state_dir / "data" / "postgresql")
    shutil.rmtree(state_dir / "data", ignore_errors=True)
    for pattern in LEDGER_FILES:
        for path in state_dir.glob(pattern):
            path.unlink()
    (state_dir / FILE_NAME).unlink(missing_ok=True)


@contextlib.contextmanager
def _only_one(state_dir: Path) -> Iterator[None]:
    lock = FileLock(state_dir / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise already_running(state_dir) from None
    try:
        yield
    finally:
        lock.release()


class _Run:
    """One run of the stack: turns process changes into `stack.json` and the view."""

    def __init__(self, options: UpOptions, plan: StackPlan, show: Shown) -> None:
        self._options = options
        self._show = show
        self._state = plan.state()
        self._supervisor = Supervisor(plan.specs, options.logs, self._changed)
        self._state.processes = self._supervisor.states
        self._signals = 0
        self._unsaved = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._asked_to_stop)
        self._set(StackStatus.STARTING)
        self._supervisor.start()
        try:
            complaint = await self._ready_or_stopped()
            if complaint:
                self._state.error = complaint
                raise StackFailedError(complaint)
            if not self._stopping.is_set():
                self._set(StackStatus.READY)
            await self._keep_house()
        finally:
            self._set(StackStatus.STOPPING)
            await self._supervisor.stop()
            self._set(StackStatus.FAILED if self._state.error else StackStatus.STOPPED)

    async def _ready_or_stopped(self) -> str:
        ready = asyncio.create_task(self._supervisor.wait_ready(READY_SECONDS))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([ready, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if ready.done():
            return ready.result()
        ready.cancel()
        return ""

    async def _keep_house(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOUSEKEEPING_SECONDS):
                    await self._stopping.wait()
            with contextlib.suppress(OSError):
                logs.cut_long(self._options.logs)
            if self._unsaved:
                self._publish()

    def _asked_to_stop(self) -> None:
        self._signals += 1
        self._stopping.set()
        if self._signals > 2:  # who presses Ctrl-C a third time wants out now; the kernel ends the children with us
            os._exit(1)

    def _changed(self, _: ProcessState) -> None:
        running = self._state.status in (StackStatus.READY, StackStatus.DEGRADED)
        if running and not self._stopping.is_set():
            whole = all(each.status is ProcessStatus.READY for each in self._state.processes)
            self._state.status = StackStatus.READY if whole else StackStatus.DEGRADED
        self._publish()

    def _set(self, status: StackStatus) -> None:
        self._state.status = status
        self._publish()

    def _publish(self) -> None:
        self._unsaved = False
        try:
            self._state.save()
        except OSError:  # a full disk must not end what runs on it; housekeeping tries again
            self._unsaved = True
        self._show(self._state)
