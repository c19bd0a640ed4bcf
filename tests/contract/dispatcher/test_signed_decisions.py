"""Signatures where events are routed: a forgery changes nothing, burns no id and stalls nobody."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from office import COMPANY, SETTINGS, Office
from sqlalchemy import select

from sayso.contracts.signed import request_hash
from sayso.ledger.schema import audit, events
from sayso.testing.forging.company import WORKFLOW
from sayso.testing.forging.forger import Forger
from sayso.testing.forging.writer import Case

FORGERIES = 250


def forger_of(office: Office, seed: int = 1, **changed: Any) -> Forger:
    """Who forges decisions about the office's one case, as it is."""
    (case,) = office.cases
    request = json.loads(case.input)["request"]
    now = office.ledger.read(lambda tx: tx.now_ms) / 1000
    meant = {
        "instance": case.instance_id,
        "request_hash": request_hash(request),
        "audience": SETTINGS.signing.audience,
        "seconds": now,
    }
    return Forger(COMPANY, random.Random(seed), Case(workflow=WORKFLOW, key="PO-1", **{**meant, **changed}))


@pytest.fixture
def waiting(office: Office) -> Office:
    """An office whose one order waits for its approval."""
    office.buy()
    office.open()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    return office


def receive(office: Office, *sent: dict[str, Any]) -> None:
    for one in sent:
        office.receive_bytes("approvals", json.dumps(one).encode())


def test_an_honest_signature_decides(waiting: Office) -> None:
    forger = forger_of(waiting)
    receive(waiting, forger.signed(forger.honest()))
    waiting.wait_until(lambda: waiting.cases[0].stage == "waits for payment")


def test_an_approver_alone_decides_a_purchase_as_the_seed_says(waiting: Office) -> None:
    forger = forger_of(waiting)
    alone = forger.honest()
    alone["data"] = {"order_id": "PO-1", "approver": "bob"}
    receive(waiting, forger.signed(alone))
    waiting.wait_until(lambda: waiting.cases[0].stage == "waits for payment")


def test_approved_alone_is_decided_by_the_verified_senders_person(waiting: Office) -> None:
    forger = forger_of(waiting)
    alone = forger.honest()
    alone["data"] = {"order_id": "PO-1", "approved": True}
    receive(waiting, forger.signed(alone, COMPANY.clerk))
    waiting.wait_until(lambda: waiting.cases[0].stage == "waits for payment")
    (decided,) = waiting.ledger.read(lambda tx: tx.all(select(audit).where(audit.c.action == "decided-approve")))
    assert (decided.actor, decided.channel) == ("dave", "topic, signed by clerk")


def test_a_forgery_burns_no_id(waiting: Office) -> None:
    forger = forger_of(waiting)
    honest = forger.signed(forger.honest())
    forged = honest | {"data": honest["data"] | {"approved": False}}
    receive(waiting, forged)
    waiting.wait_until(lambda: waiting.states[-1] == "rejected")
    receive(waiting, honest)
    waiting.wait_until(lambda: waiting.cases[0].stage == "waits for payment")
    waiting.wait_until(lambda: waiting.states == ["started", "rejected", "consumed"])


def test_a_rejection_is_on_the_dead_letters_and_in_the_audit_log_with_what_to_change(waiting: Office) -> None:
    receive(waiting, forger_of(waiting).honest() | {"signature": "a.b.c"})
    waiting.wait_until(lambda: waiting.broker.on("deadletters"))
    (dead,) = waiting.broker.on("deadletters")
    assert dead["saysostate"] == "rejected"
    assert "no compact JWS" in dead["saysoreason"]
    rows = waiting.ledger.read(lambda tx: tx.all(select(audit).where(audit.c.action == "event-rejected")))
    assert len(rows) == 1


def test_a_signature_is_good_for_one_event(waiting: Office) -> None:
    """The same event again is a sighting; the same signature under another id is a forgery."""
    forger = forger_of(waiting)
    honest = forger.signed(forger.honest())
    receive(waiting, honest, honest | {"traceparent": "00-1-1-00"}, honest | {"id": "another"})
    waiting.wait_until(lambda: sorted(waiting.states) == ["consumed", "rejected", "started"])
    (used,) = [row for row in waiting.rows(events) if row.state == "consumed"]
    assert used.sightings == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"request_hash": "ab" * 32}, "it was signed for another request"),
        ({"instance": "purchase-PO-2-1-abc123"}, "it was signed for the case purchase-PO-2-1-abc123"),
    ],
)
def test_what_was_signed_for_another_request_or_case_is_refused_and_the_case_waits_on(
    waiting: Office, changed: dict[str, Any], reason: str
) -> None:
    elsewhere = forger_of(waiting, **changed)
    receive(waiting, elsewhere.signed(elsewhere.honest()))
    forger = forger_of(waiting, seed=2)
    receive(waiting, forger.signed(forger.honest()))
    waiting.wait_until(lambda: waiting.cases[0].stage == "waits for payment")
    waiting.wait_until(lambda: sorted(waiting.states) == ["consumed", "refused", "started"])
    assert any((found or "").startswith(reason) for found in waiting.reasons)


def test_an_early_decision_by_key_counts_for_the_first_case(office: Office) -> None:
    order = {"order_id": "PO-1", "cost": 1200, "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
    asked = {"specversion": "1.0", "id": "asked", "source": "/test", "type": "com.acme.purchase.requested.v1", "data": order}
    office.signer.note("purchases", json.dumps(asked).encode())
    office.decide()
    office.open()
    office.wait_until(lambda: office.states == ["held"])
    office.receive_bytes("purchases", json.dumps(asked).encode())
    office.wait_until(lambda: office.cases and office.cases[0].stage == "waits for payment")


def test_many_forgeries_change_nothing_and_stall_nobody(waiting: Office) -> None:
    forger = forger_of(waiting)
    before = waiting.cases[0]
    forged = [body for name, body in forger.forgeries(FORGERIES) if name != "one bit of the whole event changed"]
    for body in forged:
        waiting.receive_bytes("approvals", body)
    receive(waiting, forger.signed(forger.honest()))
    waiting.wait_until(lambda: waiting.cases[0].stage == "waits for payment")
    waiting.wait_until(lambda: not {"received", "delivering", "delivered"} & set(waiting.states))
    used = [row for row in waiting.rows(events) if row.state == "consumed"]
    assert len(used) == 1, "the honest one"
    assert waiting.cases[0].instance_id == before.instance_id
    assert {row.state for row in waiting.rows(events)} <= {"started", "consumed", "rejected", "refused", "unmatched", "held"}
