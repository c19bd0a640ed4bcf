"""Claim check: the workflow gets references, the ledger has the texts, effects and nobody else's case get them."""

from __future__ import annotations

import json
from functools import partial

from ledger_world import DECISION, PAYMENT, World, cloudevent, purchase

from sayso.contracts.workflow_io import StepInput
from sayso.ledger.claims import with_large_texts
from sayso.ledger.schema import claims, events, outbox
from sayso_worker.activities.steps import step_activity

LARGE = "Bolts. " * 100_000
HISTORY_BYTES = 64 * 1024


def test_a_large_request_starts_a_case_whose_history_stays_small(world: World) -> None:
    assert world.buy(product=LARGE) == "started"
    (job,) = world.lease()
    assert len(json.dumps(job.input)) < HISTORY_BYTES
    assert job.input["request"]["product"].startswith("Bolts. Bolts. ")
    (kept,) = world.rows(claims)
    assert (kept.instance_id, kept.body) == (world.case.instance_id, LARGE)
    assert all(len(row.body) < HISTORY_BYTES for row in world.rows(outbox)), "nor does anything published carry it"


def test_an_effect_gets_the_whole_text(world: World) -> None:
    world.buy(product=LARGE)
    world.drive()
    (given,) = [json.loads(world.case.input)["request"]]
    asked = []

    def effect(_partners: object, step: StepInput) -> dict[str, str]:
        asked.append(step.arguments["product"])
        return {}

    activity = step_activity("place_order", effect, world.ledger, None)  # type: ignore[arg-type] # the effect asks nobody
    step = StepInput(case=world.ref, step="place_order", arguments={"product": given["product"]})
    activity(None, step.model_dump(mode="json"))  # type: ignore[arg-type]
    assert asked == [LARGE]


def test_large_events_are_raised_by_reference_whether_early_or_not(world: World) -> None:
    large = {"order_id": "PO-1", "approved": False, "approver": "bob", "reason": LARGE}
    assert world.send("approvals", DECISION, large) == "held"
    world.buy()
    assert world.send("approvals", DECISION, {**large, "approver": "carol"}) == "delivering"
    (job,) = world.lease()
    assert [event.data["approver"] for event in job.events] == ["bob", "carol"]
    for event in job.events:
        assert len(json.dumps(event.data)) < 2_000
        whole = world.ledger.read(partial(with_large_texts, instance_id=job.instance_id, data=event.data))
        assert whole["reason"] == LARGE
    assert len(world.rows(claims)) == 1, "the same text of one case is kept once"
    assert json.loads(bytes(world.events[0].original))["data"]["reason"] == LARGE


def test_a_reference_leads_nowhere_in_another_case(world: World) -> None:
    world.buy("PO-1", product=LARGE)
    stolen = json.loads(world.case.input)["request"]["product"]
    world.receive("purchases", cloudevent("com.acme.purchase.requested.v1", purchase("PO-2", product=stolen)))
    world.route()
    other = world.lease()[1]
    data = {"product": other.input["request"]["product"]}
    assert data["product"] == stolen
    assert world.ledger.read(partial(with_large_texts, instance_id=other.instance_id, data=data)) == data


def test_more_than_a_mebibyte_is_rejected_with_a_reason(world: World) -> None:
    assert world.buy(product="x" * 1024 * 1024) == "rejected"
    assert "at most 1048576 can start or wake a case" in world.events[0].reason
    assert world.rows(claims) == []


def test_the_answer_to_a_large_late_event_fits_a_broker(world: World) -> None:
    world.buy()
    world.drive()
    world.close("rejected")
    paid = {"order_id": "PO-1", "payment_id": "p", "amount": 1200, "currency": "EUR", "note": LARGE}
    assert world.send("payments", PAYMENT, paid) == "late"
    (answer,) = [row for row in world.rows(outbox) if row.event_id == world.rows(events)[-1].answered_by]
    assert len(answer.body) < HISTORY_BYTES
