"""What a signature has to say, and what is said to who signed wrongly."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sayso.contracts.cloudevent import parse_event
from sayso.contracts.signed import json_hash
from sayso.correlation.bindings import load_bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume, Verdict
from sayso.signing.notary import Notary
from sayso.signing.pen import About, Pen, with_signature
from sayso.testing.forging.company import APPROVALS, HASH, INSTANCE, KEY, NOW, SETTINGS, WORKFLOW, Company, demanding
from sayso.testing.forging.forger import Forger

SHIPPED = load_bindings(Path(__file__).parents[3] / "config" / "bindings.yaml")
COMPANY = Company()
FORGER = Forger(COMPANY, random.Random(7))
NOTARY = Notary(COMPANY, SETTINGS)


def judged(event: dict[str, Any], topic: str = APPROVALS, *, later: timedelta = timedelta(0)) -> Verdict:
    bindings = demanding(SHIPPED)
    return NOTARY.vouch(correlate(bindings, topic, json.dumps(event).encode()), NOW + later)


def why_rejected(event: dict[str, Any], **more: Any) -> str:
    verdict = judged(event, **more)
    assert isinstance(verdict, Rejected), verdict
    assert verdict.event is not None, "the sender finds it again"
    return verdict.reason


def test_the_gate_gets_the_verified_sender_and_what_was_signed() -> None:
    verdict = judged(FORGER.signed(FORGER.honest(), stage="finance"))
    assert isinstance(verdict, Resume)
    assert verdict.payload["signed"] == {
        "sender": "erp",
        "key": "erp-2",
        "request_hash": HASH,
        "instance": INSTANCE,
        "stage": "finance",
    }


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"aud": "test.example"},
            '`aud` of the signature is "test.example", and this installation (setting signing.audience)',
        ),
        ({"iss": "till"}, '`iss` of the signature is "till", and the sender of the key "erp-2" is "erp"'),
        ({"jti": "other"}, '`jti` of the signature is "other", and that of the event is'),
        ({"case": {"workflow": WORKFLOW, "key": "PO-2"}}, '`case.key` of the signature is "PO-2", and that of the event is "PO-1"'),
        ({"case": None}, "the signature names no case: add `case`"),
        ({"request_hash": None}, "add `request_hash` of sayso.approval.requested.v1"),
        ({"decision": None}, "the signature decides nothing: add `decision`"),
        (
            {"decision": {"approved": False, "approver": "bob", "reason": "within budget"}},
            "`approved` of the event is not what was signed",
        ),
        ({"exp": None}, "the claims of `signature`: `exp`: field required"),
        ({"admin": True}, "the claims of `signature`: `admin`: extra inputs are not permitted"),
    ],
)
def test_a_rejection_says_what_to_change(changed: dict[str, Any], reason: str) -> None:
    assert reason in why_rejected(FORGER.signed(FORGER.honest(), **changed))


def test_what_is_not_signed_says_how_to_sign_it() -> None:
    reason = why_rejected(FORGER.honest())
    assert reason.startswith("it is not signed, and purchase-decided takes only what is")
    assert "docs/signing.md" in reason


def test_a_sender_may_sign_its_types_on_its_topics_for_its_persons() -> None:
    assert "shop may not sign sayso.approval.decided.v1: add it to its `types`" in why_rejected(
        FORGER.signed(FORGER.honest(), COMPANY.shop)
    )
    assert "clerk may not speak for bob: `speaks_for`" in why_rejected(FORGER.signed(FORGER.honest(), COMPANY.clerk))
    assert 'the key "erp-1" of erp is revoked' in why_rejected(FORGER.signed(FORGER.honest(), COMPANY.stolen))


def test_approved_alone_is_decided_by_whoever_the_sender_is() -> None:
    alone = FORGER.honest()
    alone["data"] = {"order_id": KEY, "approved": True}
    verdict = judged(FORGER.signed(alone, COMPANY.clerk))
    assert isinstance(verdict, Resume)
    assert verdict.payload["approver"] == "dave"
    assert "it names no approver, and erp stands for none" in why_rejected(FORGER.signed(alone))


@pytest.mark.parametrize(("seconds", "gets_in"), [(-60, True), (-61, False), (3_600, True), (3_660, True), (3_661, False)])
def test_a_signature_counts_from_its_signing_to_its_end_and_clocks_may_differ_by_a_minute(seconds: int, gets_in: bool) -> None:
    verdict = judged(FORGER.signed(FORGER.honest()), later=timedelta(seconds=seconds))
    assert isinstance(verdict, Resume) is gets_in


def test_a_number_of_another_kind_is_not_what_was_signed() -> None:
    event = FORGER.honest()
    claims = FORGER.claims(event)["decision"] | {"approved": 1}
    assert "`approved` of the event is not what was signed" in why_rejected(FORGER.signed(event, decision=claims))


def test_the_envelope_may_be_written_anew_on_the_way() -> None:
    signed = FORGER.signed(FORGER.honest())
    anew = dict(reversed(signed.items())) | {"traceparent": "00-1-1-00", "pubsubname": "pubsub", "topic": "approvals"}
    assert isinstance(judged(anew), Resume)


class TestOtherEvents:
    """With `signature: required`, what is no decision is signed by the hash of its data."""

    @staticmethod
    def paid(amount: Any = "1200.50") -> dict[str, Any]:
        data = {"order_id": KEY, "amount": amount, "currency": "EUR", "payment_id": "P1"}
        return {"specversion": "1.0", "id": "p-1", "source": "/psp", "type": "com.acme.payment.captured.v1", "data": data}

    @staticmethod
    def judged(event: dict[str, Any]) -> Verdict:
        rules = tuple(replace(rule, treatment=replace(rule.treatment, signed_on=rule.topic)) for rule in SHIPPED.rules)
        verdict = correlate(replace(SHIPPED, rules=rules), "payments", json.dumps(event).encode())
        return NOTARY.vouch(verdict, NOW)

    @staticmethod
    def signed(event: dict[str, Any], **changed: Any) -> dict[str, Any]:
        body = json.dumps(event).encode()
        verdict = correlate(SHIPPED, "payments", body)
        assert isinstance(verdict, Resume)
        said = Pen(COMPANY.shop, SETTINGS.audience).claims(verdict, NOW, None) | changed
        return FORGER.signed(event, COMPANY.shop, request_hash=None, decision=None, **said)

    def test_it_gets_in_with_the_hash_of_its_data(self) -> None:
        assert isinstance(self.judged(self.signed(self.paid())), Resume)
        assert isinstance(self.judged(self.signed(self.paid(1200.5))), Resume)

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"data_hash": None}, "add `data_hash`"),
            ({"data_hash": json_hash({"order_id": KEY})}, "`data` of the event is not what was signed"),
            ({"type": "com.acme.payment.failed.v1"}, "`type` of the signature"),
            ({"case": {"instance": INSTANCE}}, "only a decision may name its case by `instance` alone"),
        ],
    )
    def test_otherwise_it_does_not(self, changed: dict[str, Any], reason: str) -> None:
        verdict = self.judged(self.signed(self.paid(), **changed))
        assert isinstance(verdict, Rejected)
        assert reason in verdict.reason

    def test_a_withdrawal_comes_from_who_may_speak_for_the_requester(self) -> None:
        data = {"order_id": KEY, "requester": "alice"}
        event = {"specversion": "1.0", "id": "w-1", "source": "/erp", "type": "com.acme.purchase.withdrawn.v1", "data": data}
        rules = tuple(replace(rule, treatment=replace(rule.treatment, signed_on=rule.topic)) for rule in SHIPPED.rules)
        verdict = correlate(replace(SHIPPED, rules=rules), "purchases", json.dumps(event).encode())
        assert isinstance(verdict, Resume)
        for speaks_for, gets_in in (("any", True), (("bob",), False), (("ALICE",), True)):
            company = Company()
            own = company.senders.rules["erp"].model_copy(
                update={"types": (event["type"],), "topics": ("purchases",), "speaks_for": speaks_for}
            )
            company.senders = replace(company.senders, rules={**company.senders.rules, "erp": own})
            token = Pen(company.erp, SETTINGS.audience).sign(verdict, NOW)
            signed = replace(verdict, event=replace(verdict.event, attributes=verdict.event.attributes | {"signature": token}))
            assert isinstance(Notary(company, SETTINGS).vouch(signed, NOW), Resume) is gets_in

    def test_a_digit_beyond_what_a_double_holds_is_another_number(self) -> None:
        event = self.signed(self.paid(1200.5))
        body = json.dumps(event).replace("1200.5", "1200.50000000000000001").encode()
        rules = tuple(replace(rule, treatment=replace(rule.treatment, signed_on=rule.topic)) for rule in SHIPPED.rules)
        verdict = NOTARY.vouch(correlate(replace(SHIPPED, rules=rules), "payments", body), NOW)
        assert isinstance(verdict, Rejected)


def test_a_pen_signs_as_the_notary_reads() -> None:
    event = FORGER.honest()
    body = json.dumps(event).encode()
    verdict = correlate(SHIPPED, APPROVALS, body)
    assert isinstance(verdict, Resume)
    token = Pen(COMPANY.till, SETTINGS.audience).sign(verdict, NOW, About(HASH, INSTANCE))
    signed = with_signature(body, token)
    assert isinstance(judged(json.loads(signed)), Resume)
    assert parse_event(with_signature(signed, "x.y.z")).attributes["signature"] == "x.y.z", "in place of the old one"
