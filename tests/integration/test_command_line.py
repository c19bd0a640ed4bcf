"""The command line on the real stack, as a person runs it: its own process, its exit code, its output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_system import PURCHASES, RunningSystem
from shop_events import decision, encoded, fresh, payment, purchase, topic_of
from sqlalchemy import update
from terminal import COMMAND_SECONDS, Terminal

from sayso.ledger.schema import events

pytestmark = pytest.mark.stack


@pytest.fixture
def terminal(system: RunningSystem) -> Terminal:
    return Terminal(system)


def file_of(folder: Path, event: dict[str, Any]) -> str:
    file = folder / "event.json"
    file.write_bytes(encoded(event))
    return str(file)


def test_publish_decide_and_watch_a_purchase_to_its_end(terminal: Terminal, system: RunningSystem, tmp_path: Path) -> None:
    order = fresh("PO")
    watching = terminal.start("case", order, "--watch", "--json")
    asked, paid = purchase(order), payment(order)

    (published,) = terminal.json("publish", file_of(tmp_path, asked), "--fill")
    assert (published["id"], published["topic"]) == (asked["id"], topic_of(asked))
    system.waiting_for("approval", order)
    decided = terminal.json("decide", order, "approve", "--as", "bob", "--comment", "ok")
    assert (decided["state"], decided["stage"]) == ("consumed", "waits for payment")
    terminal.sayso("publish", file_of(tmp_path, paid), "--fill")
    system.closed(order)

    printed, _ = watching.communicate(timeout=COMMAND_SECONDS)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert watching.returncode == 0
    assert len({(line["kind"], line["text"]) for line in lines}) == len(lines)
    assert any("published on outcomes" in line["text"] for line in lines)

    page = terminal.json("case", order)
    assert (page["status"], page["engine"]["status"]) == ("completed", "COMPLETED")
    engine = [entry["text"] for entry in page["timeline"] if entry["kind"] == "engine"]
    assert [line for line in engine if "place_order" in line] == ["engine: place_order scheduled", "engine: place_order completed"]
    assert terminal.json("event", paid["id"], "--source", paid["source"])["event"]["state"] == "consumed"


def test_a_refused_decision_says_why(terminal: Terminal, system: RunningSystem) -> None:
    order = fresh("PO")
    system.send(purchase(order))
    case = system.waiting_for("approval", order)
    requester = json.loads(case.input)["request"]["requester"]
    assert "nobody decides on an own request" in terminal.sayso("decide", order, "approve", "--as", requester, code=4)
    assert terminal.sayso("decide", order, "reject", "--as", "bob", "--no-wait").startswith("published")
    assert system.closed(order).outcome == "rejected"
    assert "has ended (rejected" in terminal.sayso("decide", order, "approve", "--as", "bob", code=4)


def test_an_early_decision_is_held_and_then_used(terminal: Terminal, system: RunningSystem, tmp_path: Path) -> None:
    order = fresh("PO")
    asked = purchase(order)
    assert "--about FILE" in terminal.sayso("decide", order, "reject", "--as", "bob", "--workflow", PURCHASES, code=2)
    about = ("--workflow", PURCHASES, "--about", file_of(tmp_path, asked))
    held = terminal.json("decide", order, "reject", "--as", "bob", *about)
    assert held["state"] == "held"
    system.send(asked)
    assert system.closed(order).outcome == "rejected"
    assert terminal.json("event", held["id"])["event"]["state"] == "consumed"


def test_explain_foretells_what_then_happens(terminal: Terminal, system: RunningSystem, tmp_path: Path) -> None:
    asked = purchase(fresh("PO"))
    (foretold,) = terminal.json("explain", file_of(tmp_path, asked))
    assert (foretold["state"], foretold["binding"]) == ("started", "purchase-requested")
    system.send(asked)
    system.settled(asked, "started")
    (again,) = terminal.json("explain", file_of(tmp_path, asked))
    assert again["state"] == "sighting"


def test_the_demo_comes_true_and_says_so_with_its_exit_code(terminal: Terminal) -> None:
    played = terminal.json("demo")
    assert played["ok"] is True
    told = [happened["what"] for step in played["steps"] for happened in step["happened"]]
    assert any(line.startswith("read back from the topic") for line in told)
    assert sum("completed (approved, placed, paid)" in line for line in told) == 2
    text = terminal.sayso("demo")
    assert "All of it came true" in text
    assert "What to type next" in text


def test_status_counts_what_is_in_the_ledger(terminal: Terminal, system: RunningSystem) -> None:
    order = fresh("PO")
    system.send(purchase(order))
    system.waiting_for("approval", order)
    status = subprocess.run(
        [sys.executable, "-m", "sayso.cli.main", "status", "--json"],
        env=terminal.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_SECONDS,
    )
    assert json.loads(status.stdout)["ledger_summary"]["open"] >= 1


def test_both_processes_serve_metrics_and_status_says_what_waits(terminal: Terminal, system: RunningSystem) -> None:
    for name in ("subscribers", "worker"):
        answer = httpx2.get(system.state.metrics[name], trust_env=False, timeout=10).raise_for_status()
        assert f'role="{name}"' in answer.text
    numbers = httpx2.get(system.state.metrics["subscribers"], trust_env=False, timeout=10).text
    assert "sayso_ledger_readable 1.0" in numbers
    status = terminal.json("status")
    assert status["metrics"] == system.state.metrics
    assert status["ledger_health"]["cases_overdue"] == 0
    page = terminal.sayso("status")
    assert all(f"\n{line}: " in page for line in ("waiting", "cases", "events", "alarms", "alerts", "metrics"))


def test_a_dead_event_is_replayed_on_the_running_stack_and_wakes_its_case(terminal: Terminal, system: RunningSystem) -> None:
    """A decision whose case comes after its time; the row's time is made to pass, which takes seven days."""
    order = fresh("PO")
    asked, early = purchase(order), decision(order_id=order)
    system.send(early)
    held = system.settled(early, "held")
    system.ledger.transact(lambda tx: tx.run(update(events).where(events.c.seq == held.seq).values(due_at_ms=1)))
    system.settled(early, "expired")
    system.send(asked)
    system.waiting_for("approval", order)
    assert "would be delivering" in terminal.sayso("dead", "replay", early["id"], "--dry-run")
    assert terminal.json("dead", "replay", early["id"], "--as", "alice")["events"][0]["done"] is True
    system.settled(early, "consumed")
    system.waiting_for("payment", order)
    assert "it is consumed, its effect has happened" in terminal.sayso("dead", "replay", early["id"], "--as", "bob", code=4)
