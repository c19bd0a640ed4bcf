"""Turns of writing to a SQLite file: in the order of asking, and nobody waits for one that is stuck."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sayso.errors import TransientError
from sayso.ledger import turn as turns
from sayso.ledger.turn import Turn

HOLDER = """
import sys, time
from sayso.ledger.turn import Turn
with Turn(sys.argv[1]).taken():
    print("taken", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.05)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def is_held(path: str) -> bool:
    with Path(path).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_who_comes_back_at_once_waits_for_the_one_that_was_next(ledger: str) -> None:
    order = []
    first, second = Turn(ledger), Turn(ledger)

    def wait_for_it() -> None:
        with second.taken():
            order.append("second")

    other = threading.Thread(target=wait_for_it)
    with first.taken():
        order.append("first")
        other.start()
        until(lambda: is_held(f"{ledger}.next.lock"))
    with first.taken():
        order.append("first again")
    other.join()
    assert order == ["first", "second", "first again"]


@pytest.mark.usefixtures("impatient")
def test_one_that_is_stuck_is_passed_by_and_may_go_on(ledger: str) -> None:
    stuck, other = Turn(ledger), Turn(ledger)
    with stuck.taken():
        with other.taken():
            pass
        with other.taken():
            pass
    with other.taken():
        assert is_held(f"{ledger}.write.lock")


def test_the_turn_of_a_killed_process_is_over(ledger: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, ledger], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "taken\n"
    holder.kill()
    holder.wait(30)
    holder.stdout.close()
    assert not is_held(f"{ledger}.write.lock")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="nowhere"):
        Turn(str(tmp_path / "nowhere" / "ledger.db"))
