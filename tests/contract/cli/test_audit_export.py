"""`sayso audit export` and `anchor` on a real ledger: what an auditor gets can be checked without the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import Sayso
from ledger_world import World

from sayso.settings import Settings
from sayso_subscribers.seal import Sealer


@pytest.fixture
def decided(world: World, place: Path) -> World:
    """Two orders of which one has been decided about; all is sealed."""
    world.buy("PO-1")
    world.buy("PO-2")
    world.decide("PO-1", "bob")
    seal(world, place)
    return world


def seal(world: World, place: Path) -> None:
    Sealer(world.ledger, Settings(state_dir=place / "state"), world.rules.ledger_id).work()


def test_an_export_has_the_whole_case_and_verifies_without_the_ledger(
    sayso: Sayso, decided: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = place / "PO-1.json"
    assert sayso("audit", "export", "PO-1", "--out", str(file)).code == 0
    document = json.loads(file.read_text())
    assert document["case"]["key"] == "PO-1"
    assert document["case"]["request"]["requester"] == "alice"
    assert [event["type"] for event in document["events"]] == ["com.acme.purchase.requested.v1", "sayso.approval.decided.v1"]
    assert '"approver": "bob"' in document["events"][1]["original"]["text"]
    assert "case-opened" in [entry["entry"]["action"] for entry in document["audit"]]
    assert "PO-2" not in file.read_text()
    assert document["timeline"][0]["text"].startswith("event 1 arrived")
    monkeypatch.setenv("SAYSO_LEDGER_URL", f"sqlite:///{place}/gone.db")
    answer = sayso("audit", "verify", "--export", str(file))
    assert (answer.code, "as it was made" in answer.err) == (0, True)


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "the outcome": lambda document: document["case"].update(outcome="approved"),
    "an event's bytes": lambda document: document["events"][1]["original"].update(text="{}"),
    "an entry": lambda document: document["audit"][0]["entry"].update(at_ms=1),
    "an entry that is gone": lambda document: document["audit"].pop(),
    "the seal that is gone": lambda document: document.pop("seal"),
    "the policy": lambda document: document["policy"].update(policy_hash="0"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_any_change_of_an_export_is_found(sayso: Sayso, decided: World, place: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = sayso("audit", "export", "PO-1").json
    change(document)
    file = place / "changed.json"
    file.write_text(json.dumps(document))
    answer = sayso("audit", "verify", "--export", str(file), "--json")
    assert (answer.code, bool(answer.json["findings"])) == (1, True)


def test_an_entry_that_was_changed_in_the_ledger_shows_in_an_export_that_was_made_afterwards(
    sayso: Sayso, decided: World, place: Path
) -> None:
    decided.ledger.transact(lambda tx: tx.connection.exec_driver_sql("UPDATE audit SET channel = 'api' WHERE number = 1"))
    file = place / "PO-1.json"
    sayso("audit", "export", "PO-1", "--out", str(file))
    answer = sayso("audit", "verify", "--export", str(file))
    assert (answer.code, "entry 1 is not what was sealed" in answer.out) == (1, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "sayso.audit.export.v1"}', '{"format": "other"}'])
def test_what_is_no_export_is_said(sayso: Sayso, decided: World, place: Path, text: str) -> None:
    file = place / "other.json"
    file.write_text(text)
    answer = sayso("audit", "verify", "--export", str(file))
    assert (answer.code, "other.json" in answer.err) == (3, True)


def test_an_anchor_is_a_line_that_verify_reads_and_goes_to_the_topic_on_request(sayso: Sayso, decided: World, place: Path) -> None:
    line = sayso("audit", "anchor").out
    assert line.startswith(f"audit anchor ledger={decided.rules.ledger_id} number=")
    anchors = place / "anchors.txt"
    anchors.write_text(line)
    answer = sayso("audit", "verify", "--anchors", str(anchors))
    assert (answer.code, "compared with 1 anchors" in answer.out) == (0, True)
    assert sayso("audit", "anchor", "--publish", "--json").json["published"]
    assert not sayso("audit", "anchor", "--publish", "--json").json["published"]
    assert [topic for topic, _ in decided.published if topic == "audit-anchors"] == ["audit-anchors"]


def test_a_chain_that_was_changed_is_not_anchored(sayso: Sayso, decided: World) -> None:
    decided.ledger.transact(lambda tx: tx.connection.exec_driver_sql("UPDATE audit SET channel = 'api' WHERE number = 1"))
    answer = sayso("audit", "anchor")
    assert (answer.code, "audit anchor" in answer.out) == (1, False)
