"""Correlation: one event → one binding, one case, one validated payload; or a reason that a person understands."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from example_files import shipped_bindings
from hypothesis import given
from hypothesis import strategies as st

from sayso.correlation.bindings import Bindings, load_bindings
from sayso.correlation.correlate import EVENT_BYTES_MAX, correlate
from sayso.correlation.verdict import Record, Rejected, Resume, Start, Unmatched, Verdict

SHIPPED = shipped_bindings()
DECIDED = "sayso.approval.decided.v1"
ORDER: dict[str, Any] = {"order_id": "PO-1", "cost": "1250.00", "product": "laptop", "quantity": 1, "requester": "carol"}


def message(event_type: str, data: Any, **fields: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "id": "e-1", "source": "/s", "type": event_type, "data": data, **fields}).encode()


def verdict_on(topic: str, event_type: str, data: Any, bindings: Bindings = SHIPPED) -> Any:
    return correlate(bindings, topic, message(event_type, data))


def order(**fields: Any) -> Any:
    return verdict_on("purchases", "com.acme.purchase.requested.v1", ORDER | fields)


def own(tmp_path: Path, *rules: str) -> Bindings:
    """Bindings for `com.acme.own.v1` on `own`, one for each rule's fields."""
    file = tmp_path / "bindings.yaml"
    head = "name: {}, topic: own, type: com.acme.own.v1"
    lines = [f"  - {{{head.format(f'rule-{number}')}, {rule}}}" for number, rule in enumerate(rules, 1)]
    file.write_text("bindings:\n" + "\n".join(lines), encoding="utf-8")
    return load_bindings(file)


# Starting.


def test_an_order_starts_its_case_with_a_validated_request() -> None:
    verdict = order(added_later=[1], cost=1250.00)
    assert isinstance(verdict, Start)
    assert (verdict.binding, verdict.workflow, verdict.key) == ("purchase-requested", "purchase_order_workflow", "PO-1")
    assert verdict.request == ORDER | {"cost": "1250.0", "currency": "USD", "category": None}
    assert json.dumps(verdict.request)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, 'the event has no "order_id"'),
        (None, "no object, or is missing"),
        ("text", "no object, or is missing"),
        ([1], "no object, or is missing"),
        (5, "no object, or is missing"),
        (ORDER | {"order_id": None}, 'the event has no "order_id"'),
        (ORDER | {"order_id": ""}, "the key is empty"),
        (ORDER | {"order_id": " \t"}, "the key is empty"),
        (ORDER | {"order_id": True}, "the key must be text or a whole number, not true"),
        (ORDER | {"order_id": 1.5}, "the key must be text or a whole number, not 1.5"),
        (ORDER | {"order_id": ["PO-1"]}, 'the key must be text or a whole number, not ["PO-1"]'),
        (ORDER | {"order_id": "x" * 501}, "the key has 501 characters; at most 500"),
        (ORDER | {"cost": "much"}, "`cost`: an amount is a number or a decimal string"),
        (ORDER | {"quantity": "one"}, "`quantity`: input should be a valid integer"),
        (ORDER | {"product": None}, "`product`: input should be a valid string"),
    ],
)
def test_an_order_that_nobody_can_use_is_rejected_with_its_binding(data: Any, words: str) -> None:
    verdict = verdict_on("purchases", "com.acme.purchase.requested.v1", data)
    assert isinstance(verdict, Rejected)
    assert words in verdict.reason
    assert verdict.binding == "purchase-requested"
    assert verdict.event is not None


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (4711, "4711"),
        (-1, "-1"),
        (9223372036854775807, "9223372036854775807"),
        (9223372036854775808, "9223372036854775808"),
        (12345678901234567890123, "12345678901234567890123"),
        ("| @ / \\ # ?", "| @ / \\ # ?"),
        (" PO-1 ", " PO-1 "),
        ("Ünïcødé-漢字", "Ünïcødé-漢字"),
        ("x" * 500, "x" * 500),
    ],
)
def test_any_text_and_any_whole_number_is_a_key(key: str | int, kept: str) -> None:
    verdict = order(order_id=key)
    assert isinstance(verdict, Start)
    assert (verdict.key, verdict.request["order_id"]) == (kept, kept)


def test_a_number_and_its_digits_are_the_same_key() -> None:
    assert order(order_id=4711).key == order(order_id="4711").key


@pytest.mark.parametrize("field", [{"trace": 2**70}, {"rate": 0.1}, {"extra": None}, {"deep": {"a": [None, 2**64, 1.5]}}])
def test_numbers_and_nulls_that_cel_does_not_know_do_no_harm(field: dict[str, Any]) -> None:
    assert isinstance(order(**field), Start)


@pytest.mark.parametrize("extension", [1.5, 2**70, None, True, [1.5], {"a": None}])
def test_extension_attributes_of_any_kind_do_no_harm(extension: Any) -> None:
    raw = message("com.acme.purchase.requested.v1", ORDER, region=extension)
    assert isinstance(correlate(SHIPPED, "purchases", raw), Start)


# Waking.


@pytest.mark.parametrize(
    ("data", "workflow", "key"),
    [
        ({"order_id": "PO-1"}, "purchase_order_workflow", "PO-1"),
        ({"order_id": 7}, "purchase_order_workflow", "7"),
        ({"request_id": "R-1"}, "approval_workflow", "R-1"),
        ({"task_id": "T-1"}, "task_approval_workflow", "T-1"),
        ({"workflow": "purchase_order_workflow", "key": "PO-1"}, "purchase_order_workflow", "PO-1"),
        ({"workflow": "approval_workflow", "key": "R-1"}, "approval_workflow", "R-1"),
        ({"workflow": "task_approval_workflow", "key": 7}, "task_approval_workflow", "7"),
        ({"workflow": "purchase_order_workflow", "order_id": "PO-1"}, "purchase_order_workflow", "PO-1"),
        ({"order_id": "PO-1", "request_id": None, "task_id": None, "key": None}, "purchase_order_workflow", "PO-1"),
    ],
)
def test_a_decision_finds_its_case(data: dict[str, Any], workflow: str, key: str) -> None:
    verdict = verdict_on("approvals", DECIDED, data | {"approved": True, "approver": "alice"})
    assert isinstance(verdict, Resume)
    assert (verdict.workflow, verdict.key, verdict.event_name) == (workflow, key, "approval_received")
    assert (verdict.payload["approved"], verdict.payload["approver"]) == (True, "alice")


@pytest.mark.parametrize(
    "data",
    [
        {"order_id": "PO-1", "request_id": "R-1"},
        {"order_id": "PO-1", "workflow": "approval_workflow", "key": "R-1"},
        {"order_id": "1", "request_id": "2", "task_id": "3"},
    ],
)
def test_a_decision_that_means_two_cases_means_none(data: dict[str, Any]) -> None:
    verdict = verdict_on("approvals", DECIDED, data | {"approved": True, "approver": "alice"})
    assert isinstance(verdict, Unmatched)
    assert "bindings take it (purchase-decided, request-decided" in verdict.reason
    assert "exactly one may" in verdict.reason


@pytest.mark.parametrize("data", [{}, {"key": "PO-1"}, {"workflow": "unknown_workflow", "key": "1"}])
def test_a_decision_that_means_no_case_is_unmatched(data: dict[str, Any]) -> None:
    verdict = verdict_on("approvals", DECIDED, data | {"approved": True, "approver": "alice"})
    assert isinstance(verdict, Unmatched)
    assert verdict.reason == f"no `when` of the bindings for {DECIDED} on approvals is true for it"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"workflow": "approval_workflow", "approved": True}, 'the event has no "key"'),
        ({"order_id": "PO-1"}, "a decision needs `approved`"),
        ({"order_id": "PO-1", "approved": "yes"}, "`approved`: input should be a valid boolean"),
        (None, "no object, or is missing"),
    ],
)
def test_a_decision_that_nobody_can_use_is_rejected(data: Any, words: str) -> None:
    verdict = verdict_on("approvals", DECIDED, data)
    assert isinstance(verdict, Rejected)
    assert words in verdict.reason


@pytest.mark.parametrize(("kind", "event_name"), [("captured", "payment_received"), ("failed", "payment_failed")])
def test_a_payment_finds_its_order_and_waits_for_it(kind: str, event_name: str) -> None:
    verdict = verdict_on("payments", f"com.acme.payment.{kind}.v1", {"order_id": "PO-1", "amount": "12.50"})
    assert isinstance(verdict, Resume)
    assert (verdict.key, verdict.event_name, verdict.treatment.hold) == ("PO-1", event_name, timedelta(days=7))


def test_a_recorded_event_needs_no_particular_data() -> None:
    for data in ({}, None, "text", [1]):
        assert isinstance(verdict_on("payments", "com.acme.payment.authorized.v1", data), Record)


@pytest.mark.parametrize(
    ("topic", "event_type", "words"),
    [
        ("payments", "com.acme.payment.capture.v1", '; did you mean "com.acme.payment.captured.v1"?'),
        ("purchases", "com.acme.payment.captured.v1", 'no binding for type "com.acme.payment.captured.v1" on topic "purchases"'),
        ("nowhere", "com.acme.payment.captured.v1", 'on topic "nowhere"'),
    ],
)
def test_an_event_without_a_binding_is_unmatched_and_says_what_is_near(topic: str, event_type: str, words: str) -> None:
    verdict = verdict_on(topic, event_type, {"order_id": "PO-1"})
    assert isinstance(verdict, Unmatched)
    assert words in verdict.reason


def test_an_event_too_large_for_a_history_is_rejected_and_a_recorded_one_is_not() -> None:
    large = "x" * EVENT_BYTES_MAX
    verdict = order(note=large)
    assert isinstance(verdict, Rejected)
    assert f"at most {EVENT_BYTES_MAX} can start or wake a case: send what is large by reference" in verdict.reason
    assert isinstance(verdict_on("payments", "com.acme.payment.authorized.v1", large), Record)
    assert isinstance(order(note=large[: EVENT_BYTES_MAX // 2]), Start)


# Own bindings.

RECORD = "record: true"


def test_a_failing_when_beside_a_true_one_does_no_harm(tmp_path: Path) -> None:
    bindings = own(tmp_path, f"when: event.data.a.b == 1, {RECORD}", f"when: event.data.c == 2, {RECORD}")
    verdict = verdict_on("own", "com.acme.own.v1", {"c": 2}, bindings)
    assert isinstance(verdict, Record)
    assert verdict.binding == "rule-2"


def test_a_failing_when_alone_rejects_with_its_words(tmp_path: Path) -> None:
    bindings = own(tmp_path, f"when: event.data.a == 1, {RECORD}", f"when: event.data.c == 2, {RECORD}")
    verdict = verdict_on("own", "com.acme.own.v1", {"c": 3}, bindings)
    assert isinstance(verdict, Rejected)
    assert verdict.reason == '`event.data.a == 1`: the event has no "a"'


def test_a_when_that_is_not_true_takes_nothing(tmp_path: Path) -> None:
    bindings = own(tmp_path, f"when: event.data.flag, {RECORD}")
    for value in (False, "true", 1, [True]):
        assert isinstance(verdict_on("own", "com.acme.own.v1", {"flag": value}, bindings), Unmatched)
    assert isinstance(verdict_on("own", "com.acme.own.v1", {"flag": True}, bindings), Record)


@pytest.mark.parametrize(
    ("when", "taken"),
    [
        ('event.source == "/s" && event.id == "e-1" && event.type == "com.acme.own.v1"', True),
        ('event.subject == ""', True),
        ("event.data.cost >= 1000.0", True),
        ("event.data.cost >= 1000", True),
        ("event.data.cost < 999.99", False),
        ("event.data.count == 3", True),
        ("has(event.data.nothing)", False),
        ("has(event.data.absent)", False),
        ("has(event.region)", False),
        ('event.data.tags.exists(tag, tag == "b")', True),
        ('event.data.name.startsWith("Mü")', True),
        ('event.data.big == "18446744073709551616"', True),
    ],
)
def test_what_conditions_see(tmp_path: Path, when: str, taken: bool) -> None:
    bindings = own(tmp_path, f"when: '{when}', {RECORD}")
    data = {"cost": 1000.00, "count": 3, "nothing": None, "tags": ["a", "b"], "name": "Müller", "big": 2**64}
    assert isinstance(verdict_on("own", "com.acme.own.v1", data, bindings), Record if taken else Unmatched)


MAPPING = (
    "start: approval_workflow, key: event.data.no, "
    "input: {request_id: event.data.no, requester: event.data.who, amount: event.data.sum}"
)


def test_input_maps_another_shape_to_the_workflows_request(tmp_path: Path) -> None:
    verdict = verdict_on("own", "com.acme.own.v1", {"no": 7, "who": "carol", "sum": 999.99, "other": 1}, own(tmp_path, MAPPING))
    assert isinstance(verdict, Start)
    assert verdict.request == {"request_id": "7", "requester": "carol", "amount": "999.99", "currency": "USD", "description": ""}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"no": 7, "sum": 1}, '`event.data.who`: the event has no "who"'),
        ({"no": 7, "who": 5, "sum": 1}, "`requester`: input should be a valid string"),
        ({"no": 7, "who": "carol", "sum": "lots"}, "`amount`: an amount is a number"),
        ({"no": 7, "who": "carol", "sum": True}, "`amount`: an amount is a number or a decimal string, not a boolean"),
    ],
)
def test_input_that_does_not_fit_is_rejected_readably(tmp_path: Path, data: dict[str, Any], words: str) -> None:
    verdict = verdict_on("own", "com.acme.own.v1", data, own(tmp_path, MAPPING))
    assert isinstance(verdict, Rejected)
    assert words in verdict.reason


def test_an_own_type_that_wakes_a_case_is_held_to_what_the_workflow_reads(tmp_path: Path) -> None:
    bindings = own(tmp_path, "resume: purchase_order_workflow.payment_received, key: event.data.order_id")
    assert isinstance(verdict_on("own", "com.acme.own.v1", {"order_id": "PO-1", "amount": 5, "bank": "b"}, bindings), Resume)
    verdict = verdict_on("own", "com.acme.own.v1", {"order_id": "PO-1"}, bindings)
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "`data` of com.acme.own.v1: `amount`: field required"


# Whatever comes.


@given(st.binary(max_size=300))
def test_no_bytes_ever_raise(original: bytes) -> None:
    verdict: Verdict = correlate(SHIPPED, "purchases", original)
    assert isinstance(verdict, Rejected | Unmatched)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.just([[]])
FIELDS = st.sampled_from(["order_id", "cost", "product", "quantity", "currency", "requester", "request_id", "approved", "approver"])


@given(st.sampled_from(SHIPPED.rules), st.dictionaries(FIELDS, VALUES))
def test_no_data_ever_raises_and_every_answer_has_a_reason(rule: Any, data: dict[str, Any]) -> None:
    verdict = verdict_on(rule.topic, rule.type, data)
    if isinstance(verdict, Rejected | Unmatched):
        assert 0 < len(verdict.reason) < 2_000
    elif isinstance(verdict, Start | Resume):
        assert 0 < len(verdict.key) <= 500
