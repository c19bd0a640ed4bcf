"""Which events have to be signed."""

from pathlib import Path

import pytest

from sayso.correlation.bindings import load_bindings


@pytest.mark.parametrize(
    ("says", "signed_on"), [("", "approvals"), (", signature: none", None), (", signature: required", "approvals")]
)
def test_a_decision_is_signed_unless_its_binding_says_otherwise(tmp_path: Path, says: str, signed_on: str | None) -> None:
    file = tmp_path / "bindings.yaml"
    rule = "topic: approvals, type: a.decision.v1, key: event.id, resume: approval_workflow.approval_received"
    other = "topic: payments, type: a.payment.v1, key: event.id, resume: purchase_order_workflow.payment_received"
    file.write_text(f"bindings:\n  - {{name: decided, {rule}{says}}}\n  - {{name: paid, {other}}}\n")
    bindings = load_bindings(file)
    assert [rule.treatment.signed_on for rule in bindings.rules] == [signed_on, None]
    assert bindings.needs_signatures is (signed_on is not None)


def test_who_may_decide_instead_is_said_with_a_signature(tmp_path: Path) -> None:
    file = tmp_path / "bindings.yaml"
    rule = "name: passed, topic: approvals, type: a.delegation.v1, key: event.id, delegate: approval_workflow"
    file.write_text(f"bindings:\n  - {{{rule}}}\n")
    assert [rule.treatment.signed_on for rule in load_bindings(file).rules] == ["approvals"]
