"""Where a command finds the stack: what the environment says, then `stack.json`, then the settings."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from sayso.errors import TransientError
from sayso.stack.state import StackState
from sayso.stack_address import find_stack


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("SAYSO_", "DAPR_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAYSO_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stack_of(folder: Path, pid: int, create_time: float) -> StackState:
    state = StackState(
        project=folder,
        state_dir=folder,
        supervisor_pid=pid,
        supervisor_create_time=create_time,
        broker="valkey",
        ledger="sqlite",
        ledger_url=f"sqlite:///{folder}/of-the-stack.db",
        partners_url="http://127.0.0.1:1",
        app_port=1,
        dapr_http_port=2,
        dapr_grpc_port=3,
    )
    state.save()
    return state


def test_without_a_stack_the_settings_say_where_the_ledger_is(folder: Path) -> None:
    del folder
    stack = find_stack()
    assert (stack.ledger_url, stack.sidecar) == ("sqlite:///.sayso/ledger.db", None)
    with pytest.raises(TransientError, match="sayso up"):
        stack.publisher()


def test_a_running_stack_says_where_ledger_and_sidecar_are(folder: Path) -> None:
    me = psutil.Process()
    state = stack_of(folder, me.pid, me.create_time())
    stack = find_stack()
    assert (stack.ledger_url, stack.sidecar) == (state.ledger_url, ("127.0.0.1", 3, 2))


def test_a_stopped_stack_still_says_where_its_ledger_is(folder: Path) -> None:
    state = stack_of(folder, psutil.Process().pid, 1.0)
    stack = find_stack()
    assert (stack.ledger_url, stack.sidecar) == (state.ledger_url, None)


def test_the_environment_of_a_process_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = psutil.Process()
    stack_of(folder, me.pid, me.create_time())
    monkeypatch.setenv("SAYSO_LEDGER_URL", "sqlite:////elsewhere.db")
    monkeypatch.setenv("DAPR_GRPC_PORT", "50001")
    monkeypatch.setenv("DAPR_RUNTIME_HOST", "sidecar")
    stack = find_stack()
    assert (stack.ledger_url, stack.sidecar) == ("sqlite:////elsewhere.db", ("sidecar", 50001, 3500))
