"""The judgement of a fault run on order: it must be able to fail."""

from __future__ import annotations

from sayso.simulator.observed import FinalState, Intent, Sent
from sayso.testing.fault_run.key_order import check_order


def sent(digest: str, intent: Intent, topic: str = "approvals", key: str = "K") -> Sent:
    return Sent(digest, "/approvers", topic, "type", key, digest, intent)


def state(digest: str, state: str) -> FinalState:
    return FinalState("approvals", digest, "/approvers", digest, state, "why")


BOTH = [sent("a", Intent.APPROVE), sent("b", Intent.REJECT)]
FIRST_COUNTED = [state("a", "consumed"), state("b", "refused")]


def rules(*arguments: object) -> list[str]:
    return [finding.rule for finding in check_order(*arguments)]  # type: ignore[arg-type]


def test_the_order_of_sending_is_accepted() -> None:
    assert rules(BOTH, {("approvals", "a"): 3, ("approvals", "b"): 9}, FIRST_COUNTED) == []


def test_a_later_message_with_an_earlier_number_is_found() -> None:
    assert rules(BOTH, {("approvals", "a"): 9, ("approvals", "b"): 3}, FIRST_COUNTED) == ["out of order"]


def test_a_later_decision_that_counted_is_found() -> None:
    turned = [state("a", "refused"), state("b", "consumed")]
    assert rules(BOTH, {("approvals", "a"): 3, ("approvals", "b"): 9}, turned) == ["out of order"]


def test_other_keys_and_topics_have_orders_of_their_own() -> None:
    others = [sent("a", Intent.OPEN), sent("b", Intent.OPEN, key="L"), sent("c", Intent.PAY, topic="payments")]
    numbers = {("approvals", "a"): 9, ("approvals", "b"): 3, ("payments", "c"): 1}
    assert rules(others, numbers, []) == []
