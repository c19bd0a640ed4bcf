"""Events that somebody raises through Dapr's own API or CLI: the same gate, audited, or refused by the setting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sayso.contracts.approvals import ApprovalDecided
from sayso.gate import UNSTORABLE
from sayso.settings import Settings

APPROVAL = {"approved": True, "approver": "bob", "reason": None}


@pytest.mark.parametrize("encode", [lambda data: data, json.dumps], ids=["as an object", "as the dapr CLI encodes it"])
@pytest.mark.parametrize("name", ["approval_received", "Approval_Received"])
def test_a_raw_decision_is_taken_with_its_channel(open_request: Any, name: str, encode: Any) -> None:
    case = open_request()
    case.receive((name, encode(APPROVAL)))
    assert case.run.result["approver"] == "bob"
    step = case.step("execute_approved_action")
    assert step.decision is not None
    assert (step.decision.channel, step.used) == ("dapr-api", [])


@pytest.mark.parametrize(
    "payload",
    [
        APPROVAL,
        {"seq": None, "identity": "i", "name": "approval_received", "received_at": None, "data": APPROVAL, "channel": "topic"},
    ],
    ids=["as it is", "dressed as an event of the ledger"],
)
def test_with_raw_raises_off_it_is_refused_and_the_wait_goes_on(open_request: Any, payload: Any) -> None:
    case = open_request(Settings(accept_raw_raise=False))
    case.receive(("approval_received", payload))
    assert case.refusals == {None: "it was raised past the ledger, and accept_raw_raise is off"}
    case.pass_time(days=3, seconds=1)
    assert case.run.result["status"] == "timeout"


def test_the_same_raw_decision_again_is_not_another_one(open_request: Any) -> None:
    case = open_request()
    case.receive(("approval_received", {"approved": True}), ("approval_received", '{"approved": true}'))
    assert case.run.call_names == ["record_refusal"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "a decision needs `approved` (true or false), `approver`, or both"),
        (0, "a decision needs `approved` (true or false), `approver`, or both"),
        ([], "a decision needs `approved` (true or false), `approver`, or both"),
        ("no JSON", "a decision needs `approved` (true or false), `approver`, or both"),
        ("[" * 5_000, "a decision needs `approved` (true or false), `approver`, or both"),
        ({"approved": "yes", "approver": "bob"}, "`approved`: input should be a valid boolean"),
        ({"approved": True, "approver": {"name": "bob"}}, "`approver`: input should be a valid string"),
        ({"approved": True, "approver": "b" * 321}, "`approver`: string should have at most 320 characters"),
        ({"approved": True, "approver": "bob", "reason": ["x"]}, "`reason`: input should be a valid string"),
        ({"approved": True, "approver": "alice"}, "alice is the requester; nobody decides on an own request"),
        # looks like an event of the ledger, and is none
        ({"seq": "x", "identity": 1, "data": 3, "name": "approval_received", "received_at": None}, "a decision needs `approved`"),
        ({"seq": 1, "identity": "i", "data": APPROVAL, "name": "withdraw_requested", "received_at": None}, "a decision needs"),
    ],
)
def test_whatever_is_raised_is_refused_with_a_reason_and_never_fails_the_case(open_request: Any, payload: Any, reason: str) -> None:
    case = open_request()
    case.receive(("approval_received", payload))
    assert case.run.status == "RUNNING", case.run.failure
    (said,) = case.refusals.values()
    assert said.startswith(reason)
    case.approve()
    assert case.run.result["status"] == "approved"


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("payment_received", {"amount": "sNaN", "currency": "EUR"}),
        ("payment_received", {"amount": "1E+999999", "currency": "EUR"}),
        ("payment_received", {"amount": {}, "currency": "EUR"}),
        ("payment_received", {}),
        ("payment_failed", {"reason": {"a": 1}}),
        ("withdraw_requested", {"requester": "alice", "reason": {"a": 1}}),
        ("withdraw_requested", {"requester": ["alice"]}),
    ],
)
def test_a_raw_payment_or_withdrawal_is_held_to_its_contract(open_order: Any, name: str, payload: Any) -> None:
    case = open_order()
    case.approve()
    case.receive((name, payload))
    assert case.run.status == "RUNNING", case.run.failure
    (reason,) = case.refusals.values()
    assert len(reason) < 500


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth // 2):
        value = [{"in": value}]
    return value


@pytest.mark.parametrize(
    "more",
    [
        {"x": nested(300)},
        {"x": nested(800)},
        {"x": ["\ud800", {"\udfff": "\ud800"}]},
        {"\ud800": 1},
        {"x": ["\x00"]},
        {"x": {"__durabletask_autoobject__": True, "a": {"__durabletask_autoobject__": True}}},
    ],
    ids=["deep", "deeper", "unpaired surrogates", "a name that cannot be written", "NUL", "the SDK's own marker"],
)
def test_what_no_contract_knows_neither_fails_the_case_nor_is_kept(open_request: Any, more: dict[str, Any]) -> None:
    case = open_request()
    case.receive(("approval_received", {**APPROVAL, **more}))
    assert case.run.failure is None
    assert case.run.result["approver"] == "bob"
    (kept,) = case.step("execute_approved_action").direct
    assert kept.data.keys() <= set(ApprovalDecided.model_fields)


@pytest.mark.parametrize(
    "data",
    [{"approver": "bob", "\ud800 means no": 1}, {"approver": "bob", "nul \x00": 1}, {"approved": True, "approver": "b\ud800b"}],
)
@pytest.mark.parametrize("seq", [None, 7], ids=["as it is", "dressed as an event of the ledger"])
def test_a_refusal_quotes_nothing_that_cannot_be_stored(open_order: Any, data: dict[str, Any], seq: int | None) -> None:
    dressed = {"seq": seq, "identity": "i", "name": "approval_received", "received_at": None, "data": data}
    case = open_order()
    case.receive(("approval_received", data if seq is None else dressed))
    assert case.run.status == "RUNNING", case.run.failure
    (reason,) = case.refusals.values()
    assert not UNSTORABLE.search(reason)


@pytest.mark.parametrize("approver", ["b\x00b", "b\ud800b"])
def test_one_dressed_as_an_event_of_the_ledger_is_held_to_what_can_be_stored(open_request: Any, approver: str) -> None:
    data = {"approved": True, "approver": approver}
    case = open_request()
    case.receive(("approval_received", {"seq": 7, "identity": "i", "name": "approval_received", "received_at": None, "data": data}))
    assert "cannot be stored" in case.refusals[7]


def test_a_raw_payment_needs_no_order_id_because_the_instance_is_named(open_order: Any) -> None:
    case = open_order()
    case.approve()
    case.receive(("payment_received", {"amount": "1200.00", "currency": "eur"}))
    assert case.run.result == "Approved by 'bob'"


def test_what_was_raised_and_not_used_is_audited_when_the_case_ends(open_order: Any) -> None:
    case = open_order()
    case.receive(("payment_received", {"amount": "1200.00", "currency": "EUR"}))
    assert case.run.calls == []
    case.reject()
    assert case.refusals == {None: "the case ended without using it"}


NO_DECISION = "a decision needs `approved` (true or false), `approver`, or both"


@pytest.mark.parametrize("text", ["approved", "{", "[" * 100_000, "1" * 5_000, "\x00", "{'approved': True}"])
def test_what_is_no_json_is_refused_with_a_reason_and_never_fails_the_case(open_request: Any, text: str) -> None:
    case = open_request()
    case.run.raise_text("approval_received", text)
    case.run.raise_text("something_else", text)
    nul = "it contains a NUL character or an unpaired surrogate, which cannot be stored"
    assert case.refusals == {None: nul if text == "\x00" else NO_DECISION}
    case.receive(("approval_received", APPROVAL))
    assert case.run.result["approver"] == "bob"
    case.run.check_replay()


def test_what_is_no_json_is_kept_while_an_instance_is_suspended(open_request: Any) -> None:
    case = open_request()
    case.run.suspend()
    case.run.raise_text("approval_received", "approved")
    case.run.resume()
    assert list(case.refusals) == [None]
    case.run.check_replay()
