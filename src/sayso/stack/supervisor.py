"""Keeps the stack's processes: starts them in order, watches, restarts, stops.

In: process specs. Out: changes of their `ProcessState`, told to a listener; at the end, nothing that runs.
Invariants: a process starts after those it needs are ready; what crashes is started again, ever more slowly, and not more often
than its `RestartPolicy` allows; whatever happens, `stop` ends every child.

What has been ready before and cannot start again is given more time: what it needs may be about to end, still ready by its probe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from sayso.stack.logs import last_line
from sayso.stack.probes import answer_of
from sayso.stack.process import ProcessSpec, spawn, stop
from sayso.stack.state import ProcessState, ProcessStatus

PROBE_INTERVAL_SECONDS = 0.05

Listener = Callable[[ProcessState], None]


@dataclass(frozen=True)
class RestartPolicy:
    """One pause for each restart that is allowed within the window, and how long what was ready once may fail to start again."""

    pauses_seconds: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0, 4.0)
    window_seconds: float = 60.0
    patience_seconds: float = 180.0


DEFAULT_POLICY = RestartPolicy()


class KeptProcess:
    """One process through all its lives."""

    def __init__(self, spec: ProcessSpec, state: ProcessState, changed: Listener, policy: RestartPolicy) -> None:
        self.spec = spec
        self.state = state
        self._policy = policy
        self.ready = asyncio.Event()
        self.failed = asyncio.Event()
        self.child: asyncio.subprocess.Process | None = None
        self._changed = changed
        self._crashes: list[float] = []
        self._was_ready = False
        self._unready_since: float | None = None

    async def keep(self, needed: Sequence[KeptProcess]) -> None:
        """Run until cancelled, or until it crashed too often."""
        await self._await_needed(needed)
        if self.spec.prepare is not None:
            self.tell(ProcessStatus.STARTING, "prepares its data")
            try:
                await asyncio.to_thread(self.spec.prepare)
            except Exception as error:  # noqa: BLE001 - whatever it is, the stack must say so and stop
                self._give_up(str(error))
                return
        while await self._live_once():
            await self._await_needed(needed)

    def tell(self, status: ProcessStatus, detail: str = "") -> None:
        """Record and announce a change."""
        if (status, detail) != (self.state.status, self.state.detail):
            self.state.status, self.state.detail = status, detail
            self._changed(self.state)

    async def _await_needed(self, needed: Sequence[KeptProcess]) -> None:
        """After a crash too: daprd ends at once while its broker is away, and would soon have crashed too often."""
        for other in needed:
            await other.ready.wait()

    async def _live_once(self) -> bool:
        """One life from start to end: whether there is to be another."""
        self.child = child = await spawn(self.spec, self.state.log)
        self.state.pid, self.state.create_time = child.pid, _create_time(child.pid)
        self.tell(ProcessStatus.STARTING)
        probing = asyncio.create_task(self._await_ready())
        try:
            code = await child.wait()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)  # its last word must not come after ours
        was_ready = self.ready.is_set()
        self.ready.clear()
        return await self._after_crash(code, was_ready=was_ready)

    async def _await_ready(self) -> None:
        deadline = time.monotonic() + self.spec.ready_seconds
        while missing := await answer_of(self.spec.probe):
            late = time.monotonic() > deadline
            self.tell(ProcessStatus.STARTING, f"still not ready: {missing}" if late else missing)
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        self.ready.set()
        self._was_ready = True
        self._unready_since = None
        self.tell(ProcessStatus.READY)

    async def _after_crash(self, code: int, *, was_ready: bool) -> bool:
        now = time.monotonic()
        pauses, window = self._policy.pauses_seconds, self._policy.window_seconds
        self._crashes = [*(crash for crash in self._crashes if now - crash < window), now]
        cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        if len(self._crashes) > len(pauses) and not self._may_wait(now, was_ready=was_ready):
            self._give_up(f"{cause}; not started again after {len(self._crashes)} crashes within {window:.0f} s")
            return False
        pause = pauses[min(len(self._crashes), len(pauses)) - 1]
        self.state.restarts += 1
        self.tell(ProcessStatus.RESTARTING, f"{cause}; restart {self.state.restarts} in {pause:g} s")
        await asyncio.sleep(pause)
        return True

    def _may_wait(self, now: float, *, was_ready: bool) -> bool:
        """Whether it only fails to start again, and not for too long. One that gets ready and crashes over and over may not."""
        if was_ready or not self._was_ready:
            return False
        if self._unready_since is None:
            self._unready_since = now
        return now - self._unready_since < self._policy.patience_seconds

    def _give_up(self, cause: str) -> None:
        words = last_line(self.state.log)
        self.tell(ProcessStatus.FAILED, f"{cause}; last words: {words}" if words else cause)
        self.failed.set()


class Supervisor:
    """All processes of one stack."""

    def __init__(self, specs: Sequence[ProcessSpec], logs: Path, changed: Listener, policy: RestartPolicy = DEFAULT_POLICY) -> None:
        states = {spec.name: ProcessState(name=spec.name, log=logs / f"{spec.name}.log", address=spec.address) for spec in specs}
        self.kept = {spec.name: KeptProcess(spec, states[spec.name], changed, policy) for spec in specs}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def states(self) -> list[ProcessState]:
        """The state of each process, in the order of the specs."""
        return [kept.state for kept in self.kept.values()]

    def start(self) -> None:
        """Begin to start everything; returns at once."""
        for name, kept in self.kept.items():
            needed = [self.kept[other] for other in kept.spec.after]
            self._tasks[name] = asyncio.create_task(kept.keep(needed), name=name)

    async def wait_ready(self, timeout_seconds: float) -> str:
        """Wait until all are ready, one has failed, or the time is over: empty, or what is wrong, for a person."""
        ready = asyncio.create_task(self._all_ready())
        failed = [asyncio.create_task(kept.failed.wait()) for kept in self.kept.values()]
        try:
            await asyncio.wait([ready, *failed], timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            return "" if ready.done() else self._complaint(timeout_seconds)
        finally:
            for waiting in (ready, *failed):
                waiting.cancel()

    async def stop(self) -> None:
        """End everything, the highest layer first; within a layer all at once."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for layer in sorted({kept.spec.layer for kept in self.kept.values()}, reverse=True):
            await asyncio.gather(*(_stop(kept) for kept in self.kept.values() if kept.spec.layer == layer))

    async def _all_ready(self) -> bool:
        for kept in self.kept.values():
            await kept.ready.wait()
        return True

    def _complaint(self, timeout_seconds: float) -> str:
        failed = [state for state in self.states if state.status is ProcessStatus.FAILED]
        if failed:
            return "\n".join(f"{state.name} failed: {state.detail}\n  its log: {state.log}" for state in failed)
        late = [state for state in self.states if state.status is not ProcessStatus.READY]
        lines = "\n".join(f"{state.name}: {state.detail or state.status}\n  its log: {state.log}" for state in late)
        return f"not ready after {timeout_seconds:.0f} s:\n{lines}"


async def _stop(kept: KeptProcess) -> None:
    if kept.child is not None and kept.child.returncode is None:
        await stop(kept.child, kept.spec)
    if kept.state.status is not ProcessStatus.FAILED:
        kept.tell(ProcessStatus.STOPPED)


def _create_time(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
