"""The supervisor with real processes, without Dapr."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sayso.stack import leftovers
from sayso.stack.process import Layer, ProcessSpec
from sayso.stack.state import ProcessState, ProcessStatus, StackState
from sayso.stack.supervisor import RestartPolicy, Supervisor

FAST = RestartPolicy(pauses_seconds=(0.01, 0.01, 0.01))
SLEEP = ("sleep", "1000")


async def at_once() -> str:
    return ""


def spec(folder: Path, name: str = "sleeper", command: tuple[str, ...] = SLEEP, **more: Any) -> ProcessSpec:
    return ProcessSpec(name=name, command=command, directory=folder, **{"probe": at_once, "layer": Layer.APP, **more})


class Watch:
    """Remembers every change that the supervisor tells."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ProcessStatus]] = []

    def __call__(self, process: ProcessState) -> None:
        self.seen.append((process.name, process.status))

    def names(self, status: ProcessStatus) -> list[str]:
        return [name for name, seen in self.seen if seen is status]


async def until(condition: Callable[[], bool], timeout_seconds: float = 10) -> None:
    async with asyncio.timeout(timeout_seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the supervisor's state, which has no event
            await asyncio.sleep(0.01)


def all_end(processes: list[psutil.Process], timeout_seconds: float = 10) -> bool:
    """Whether they end in time; one that only waits to be collected by the machine's first process has ended."""
    deadline = time.monotonic() + timeout_seconds
    while any(leftovers.find(each.pid, each.create_time()) for each in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


Story = Callable[[Supervisor, Watch], Coroutine[Any, Any, None]]


def run(specs: list[ProcessSpec], folder: Path, story: Story, policy: RestartPolicy = FAST) -> tuple[Supervisor, Watch]:
    """Start these processes, do what the story does, stop them."""
    watch = Watch()

    async def whole() -> Supervisor:
        supervisor = Supervisor(specs, folder, watch, policy)
        supervisor.start()
        try:
            await story(supervisor, watch)
        finally:
            await supervisor.stop()
        return supervisor

    return asyncio.run(whole()), watch


async def all_ready(supervisor: Supervisor, _: Watch) -> None:
    assert await supervisor.wait_ready(10) == ""


def test_a_process_starts_after_the_one_that_it_needs_is_ready(tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    async def flag_is_there() -> str:
        return "" if flag.exists() else "no flag"

    first = spec(tmp_path, "first", ("sh", "-c", f"sleep 0.2; touch {flag}; sleep 1000"), probe=flag_is_there)
    _, watch = run([spec(tmp_path, "second", after=("first",)), first], tmp_path, all_ready)
    assert watch.seen.index(("first", ProcessStatus.READY)) < watch.seen.index(("second", ProcessStatus.STARTING))


def test_a_crashed_process_waits_for_the_one_that_it_needs_before_it_starts_again(tmp_path: Path) -> None:
    """A sidecar ends at once while its broker is away; without the wait it would soon have crashed too often."""
    flag = tmp_path / "flag"

    async def flag_is_there() -> str:
        return "" if flag.exists() else "no flag"

    async def story(supervisor: Supervisor, watch: Watch) -> None:
        await all_ready(supervisor, watch)
        flag.unlink()
        broker, sidecar = supervisor.states
        for process in (broker, sidecar):
            assert process.pid is not None
            with suppress(psutil.NoSuchProcess):  # it may only now have looked for the flag
                psutil.Process(process.pid).kill()
        await until(lambda: broker.restarts == 1 and sidecar.restarts > 0)
        await until(lambda: sidecar.status is ProcessStatus.READY)
        assert broker.status is ProcessStatus.READY

    slowly = ("sh", "-c", f"sleep 0.3; touch {flag}; sleep 1000")
    needing = ("sh", "-c", f"test -e {flag} && sleep 1000")
    specs = [spec(tmp_path, "broker", slowly, probe=flag_is_there), spec(tmp_path, "sidecar", needing, after=("broker",))]
    run(specs, tmp_path, story)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this way of scheduling")
def test_the_processes_of_a_stack_do_not_interrupt_each_other(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, watch: Watch) -> None:
        await all_ready(supervisor, watch)
        pid = supervisor.states[0].pid
        assert pid is not None
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH

    run([spec(tmp_path, "sleeper")], tmp_path, story)


def test_a_higher_layer_stops_before_a_lower_one(tmp_path: Path) -> None:
    specs = [spec(tmp_path, "broker", layer=Layer.STORAGE), spec(tmp_path, "sidecar", layer=Layer.SIDECAR), spec(tmp_path, "app")]
    _, watch = run(specs, tmp_path, all_ready)
    assert watch.names(ProcessStatus.STOPPED) == ["sidecar", "app", "broker"]


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, _: Watch) -> None:
        await all_ready(supervisor, _)
        (state,) = supervisor.states
        before = state.pid
        assert before is not None
        psutil.Process(before).kill()
        await until(lambda: state.restarts == 1 and state.status is ProcessStatus.READY)
        assert state.pid != before

    supervisor, watch = run([spec(tmp_path)], tmp_path, story)
    assert ("sleeper", ProcessStatus.RESTARTING) in watch.seen
    assert supervisor.states[0].status is ProcessStatus.STOPPED


def test_a_process_that_crashes_too_often_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, _: Watch) -> None:
        complaint = await supervisor.wait_ready(20)
        assert "crasher failed: exit code 3; not started again after 4 crashes within 60 s" in complaint
        assert "last words: no such table" in complaint
        assert str(tmp_path / "crasher.log") in complaint

    crasher = spec(tmp_path, "crasher", ("sh", "-c", "echo no such table; exit 3"), probe=not_ready)
    supervisor, _ = run([crasher], tmp_path, story)
    assert supervisor.states[0].restarts == 3
    assert supervisor.states[0].status is ProcessStatus.FAILED


def test_what_was_ready_before_is_given_time_until_what_it_needs_is_back(tmp_path: Path) -> None:
    """A database that is being shut down is still there for its probe, and refuses who comes."""

    async def story(supervisor: Supervisor, watch: Watch) -> None:
        await all_ready(supervisor, watch)
        (state,) = supervisor.states
        lose_flag(tmp_path, state)
        await until(lambda: state.restarts > len(FAST.pauses_seconds) + 3)
        assert state.status is not ProcessStatus.FAILED
        (tmp_path / "flag").touch()
        await until(lambda: state.status is ProcessStatus.READY)

    run([needing_a_flag(tmp_path)], tmp_path, story)


def test_what_was_ready_before_is_not_given_time_for_ever(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, watch: Watch) -> None:
        await all_ready(supervisor, watch)
        (state,) = supervisor.states
        lose_flag(tmp_path, state)
        await until(lambda: state.status is ProcessStatus.FAILED)
        assert "not started again after" in state.detail

    run([needing_a_flag(tmp_path)], tmp_path, story, replace(FAST, patience_seconds=0.3))


def needing_a_flag(tmp_path: Path) -> ProcessSpec:
    """Ends at once without its flag."""
    flag = tmp_path / "flag"
    flag.touch()

    async def ready() -> str:
        return "" if flag.exists() else "no flag"

    return spec(tmp_path, "sidecar", ("sh", "-c", f"test -e {flag} && sleep 1000"), probe=ready)


def lose_flag(folder: Path, state: ProcessState) -> None:
    (folder / "flag").unlink()
    assert state.pid is not None
    psutil.Process(state.pid).kill()


async def not_ready() -> str:
    return "waits for something"


def test_what_is_not_ready_in_time_is_named_with_what_it_waits_for(tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, _: Watch) -> None:
        assert "sleeper: waits for something" in await supervisor.wait_ready(0.3)

    run([spec(tmp_path, probe=not_ready)], tmp_path, story)


def test_a_preparation_that_fails_fails_the_process(tmp_path: Path) -> None:
    def prepare() -> None:
        raise RuntimeError("disk full")

    async def story(supervisor: Supervisor, _: Watch) -> None:
        assert "sleeper failed: disk full" in await supervisor.wait_ready(10)

    run([spec(tmp_path, prepare=prepare)], tmp_path, story)


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    children: list[psutil.Process] = []

    async def story(supervisor: Supervisor, _: Watch) -> None:
        await all_ready(supervisor, _)
        stubborn = psutil.Process(supervisor.states[0].pid)
        await until(lambda: bool(stubborn.children()))
        children.extend(stubborn.children())

    began = time.monotonic()
    run([spec(tmp_path, command=("sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"), stop_seconds=0.3)], tmp_path, story)
    assert time.monotonic() - began < 5
    assert children
    assert all_end(children)


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from sayso.stack.process import Layer, ProcessSpec
from sayso.stack.supervisor import Supervisor

async def ready():
    return ""

async def main(folder):
    specs = [ProcessSpec(name=n, command=("sleep", "1000"), directory=folder, probe=ready, layer=Layer.APP) for n in "ab"]
    supervisor = Supervisor(specs, folder, lambda _: None)
    supervisor.start()
    await supervisor.wait_ready(10)
    print(*(state.pid for state in supervisor.states), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
def test_a_supervisor_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        children = [psutil.Process(int(pid)) for pid in supervisor.stdout.readline().split()]
        assert len(children) == 2
        supervisor.kill()
        assert all_end(children)


def state_with(folder: Path, pid: int, create_time: float) -> StackState:
    return StackState(
        project=folder,
        state_dir=folder,
        supervisor_pid=pid,
        supervisor_create_time=0,
        broker="valkey",
        ledger="sqlite",
        ledger_url="sqlite://",
        partners_url="",
        app_port=0,
        dapr_http_port=0,
        dapr_grpc_port=0,
        processes=[ProcessState(name="left", log=folder / "left.log", pid=pid, create_time=create_time)],
    )


def test_a_left_over_process_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as child:
        assert leftovers.reap(state_with(tmp_path, child.pid, psutil.Process(child.pid).create_time())) == ["left"]
        assert not psutil.pid_exists(child.pid)


def test_a_foreign_process_that_has_the_pid_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as child:
        created = psutil.Process(child.pid).create_time()
        try:
            assert leftovers.reap(state_with(tmp_path, child.pid, created - 60)) == []
            assert child.poll() is None
        finally:
            child.kill()
