"""What every test starts from."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

from stack_lanes import LaneScheduling

# How long an example takes says how loaded the machine is: no test asserts on that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if threading.current_thread() is threading.main_thread():
    # A shell that starts us in the background has us ignore SIGINT, and every child inherits that: Ctrl-C would never arrive.
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # a test that talked to a sidecar may fork to start a database
END_SECONDS = 20.0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LaneScheduling:
    """With several workers: whatever `--dist` says."""
    return LaneScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In each lane those that share the stack of the session come last: it is kept until the end."""
    items.sort(key=_shares_the_sessions_stack)


def _shares_the_sessions_stack(item: pytest.Item) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs.get("system", ()) if isinstance(item, pytest.Function) else ()
    return any(definition.scope == "session" for definition in definitions[-1:])


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Whatever a test has started and not stopped is ended, and said."""
    yield
    left = psutil.Process().children(recursive=True)
    _, running = psutil.wait_procs(left, END_SECONDS)
    told = [f"{process.pid} {' '.join(process.cmdline())[:200]}" for process in running]
    for process in running:
        process.kill()
    assert not told, f"tests left these running: {told}"
