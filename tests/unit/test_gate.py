"""The decision gate: who may decide, in time, through which way; everything else is refused with words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayso.contracts.catalog import WORKFLOWS
from sayso.contracts.signed import Matter
from sayso.contracts.workflow_io import RaisedEvent
from sayso.gate import Decision, Refused, Stage, admit, decide, same_person

DEADLINE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def stage(workflow: str = "approval_workflow", requester: str | None = "carol", raw: bool = True) -> Stage:
    return Stage(workflow, requester, DEADLINE, accept_raw_raise=raw)


def raised(data: dict[str, Any], channel: str = "topic", received_at: datetime | None = DEADLINE - SECOND) -> RaisedEvent:
    return RaisedEvent(seq=1, identity="i", name="approval_received", received_at=received_at, data=data, channel=channel)


def refusal(at: Stage, event: RaisedEvent) -> str:
    answer = decide(at, event)
    assert isinstance(answer, Refused)
    return answer.reason


@pytest.mark.parametrize("workflow", WORKFLOWS)
@pytest.mark.parametrize("approved", [True, False])
def test_the_full_payload_decides_everywhere(workflow: str, approved: bool) -> None:
    answer = decide(stage(workflow), raised({"approved": approved, "approver": "alice", "reason": "because"}))
    assert answer == Decision(approved, "alice", "because", "topic")


def test_an_approver_alone_approves_a_purchase_order_and_nothing_else() -> None:
    assert decide(stage("purchase_order_workflow"), raised({"approver": "alice"})) == Decision(True, "alice", None, "topic")
    for workflow in WORKFLOWS.keys() - {"purchase_order_workflow"}:
        assert refusal(stage(workflow), raised({"approver": "alice"})) == "`approved` must be true or false"


@pytest.mark.parametrize("workflow", WORKFLOWS)
@pytest.mark.parametrize("approver", [None, "", "  ", 5, ["alice"], {"name": "alice"}, True])
def test_without_an_approver_nobody_decided(workflow: str, approver: object) -> None:
    words = "it names no approver, and no verified sender stands for one"
    assert refusal(stage(workflow), raised({"approved": True, "approver": approver})) == words
    assert refusal(stage(workflow), raised({"approved": True})) == words


@pytest.mark.parametrize("approved", ["true", "yes", 1, 0, "", [], {}, 1.0])
def test_only_true_and_false_are_decisions(approved: object) -> None:
    words = "`approved` must be true or false"
    assert refusal(stage("purchase_order_workflow"), raised({"approved": approved, "approver": "alice"})) == words


@pytest.mark.parametrize("approver", ["carol", "Carol", "CAROL", " carol ", "carol\t", "\ncArOl"])
def test_the_requester_decides_in_no_spelling(approver: str) -> None:
    answer = refusal(stage(requester=" Carol"), raised({"approved": True, "approver": approver}))
    assert answer.endswith("is the requester; nobody decides on an own request")


def test_the_requester_may_not_reject_either() -> None:
    assert "is the requester" in refusal(stage(), raised({"approved": False, "approver": "carol"}))


def test_without_a_known_requester_anybody_else_decides() -> None:
    assert isinstance(decide(stage(requester=None), raised({"approved": True, "approver": "carol"})), Decision)


@pytest.mark.parametrize(("one", "other"), [("straße", "STRASSE"), ("İ".lower(), "İ".lower()), ("a@example.com", "A@Example.COM ")])
def test_spellings_of_one_person(one: str, other: str) -> None:
    assert same_person(one, other)
    assert not same_person(one, other + "x")


def test_the_approver_is_kept_without_outer_blanks_and_an_odd_reason_is_dropped() -> None:
    answer = decide(stage(), raised({"approved": True, "approver": " alice ", "reason": ["no", "text"]}))
    assert answer == Decision(True, "alice", None, "topic")


@pytest.mark.parametrize(
    ("after", "accepted"), [(-SECOND, True), (timedelta(0), True), (timedelta(microseconds=1), False), (SECOND, False)]
)
def test_what_counts_is_when_it_was_received(after: timedelta, accepted: bool) -> None:
    answer = decide(stage(), raised({"approved": True, "approver": "alice"}, received_at=DEADLINE + after))
    assert isinstance(answer, Decision) is accepted


def test_a_late_one_is_told_when_it_came() -> None:
    words = refusal(stage(), raised({"approved": True, "approver": "alice"}, received_at=DEADLINE + 5 * SECOND))
    assert words == "it arrived at 2026-11-20 12:00:05 UTC, after the deadline"


def test_being_late_is_said_before_anything_else() -> None:
    assert "after the deadline" in refusal(stage(), raised({}, received_at=DEADLINE + SECOND))


# Raised past the ledger, through Dapr's own API.


def raw(data: dict[str, Any]) -> RaisedEvent:
    return raised(data, channel="dapr-api", received_at=None)


def test_a_raw_raise_passes_the_same_gate_when_it_is_accepted() -> None:
    good = {"approved": True, "approver": "alice"}
    assert decide(stage(raw=True), raw(good)) == Decision(True, "alice", None, "dapr-api")
    assert "is the requester" in refusal(stage(raw=True), raw(good | {"approver": "carol"}))


def test_a_raw_raise_is_refused_when_it_is_not_accepted() -> None:
    answer = admit(stage(raw=False), raw({"approved": True, "approver": "alice"}))
    assert answer == Refused("it was raised past the ledger, and accept_raw_raise is off")
    assert admit(stage(raw=False), raised({})) is None


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x\udfff"])
@pytest.mark.parametrize("field", ["approver", "reason"])
def test_a_raw_raise_that_cannot_be_stored_is_refused(field: str, text: str) -> None:
    words = refusal(stage(raw=True), raw({"approved": True, "approver": "alice"} | {field: text}))
    assert words == "it contains a NUL character or an unpaired surrogate, which cannot be stored"


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.sampled_from(sorted(WORKFLOWS)), st.dictionaries(st.sampled_from(["approved", "approver", "reason", "x"]), VALUES))
def test_whatever_is_raised_is_decided_or_refused_with_words(workflow: str, data: dict[str, Any]) -> None:
    answer = decide(stage(workflow), raised(data))
    if isinstance(answer, Refused):
        assert answer.reason
    else:
        assert not same_person(answer.approver, "carol")
        assert answer.approver == answer.approver.strip() != ""


@pytest.mark.parametrize("approved", [True, False])
def test_when_only_members_may_decide_nobody_else_does(approved: bool) -> None:
    at = Stage("approval_workflow", "carol", DEADLINE, accept_raw_raise=True, only_members_of="managers")
    event = raised({"approved": approved, "approver": "dave"})
    assert refusal(at, event.model_copy(update={"entitled": False})) == "dave is not a member of managers, who are asked"
    assert isinstance(decide(at, event.model_copy(update={"entitled": True})), Decision)
    unseen = "it was raised past the ledger, where nobody looks up who is a member of managers, who are asked"
    assert refusal(at, raised({"approved": approved, "approver": "bob"}, channel="dapr-api")) == unseen


def test_what_was_not_looked_up_is_not_raised_along() -> None:
    event = raised({"approved": True, "approver": "bob"})
    assert "entitled" not in event.as_payload()
    assert event.model_copy(update={"entitled": False}).as_payload()["entitled"] is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jos\u00e9", "jose\u0301"),
        ("\uff41lice", "Alice"),
        ("ali\u200bce", "alice"),
        ("\u202ealice ", "alice"),
        ("STRASSE", "stra\u00dfe"),
    ],
    ids=["composed or not", "full width", "an invisible space", "a mark of direction", "sharp s"],
)
def test_another_way_to_write_an_id_makes_no_other_person(one: str, other: str) -> None:
    """Four eyes are four, however somebody spells two of them."""
    assert same_person(one, other)
    assert "nobody decides on an own request" in refusal(stage(requester=one), raised({"approved": True, "approver": other}))


class TestSigned:
    """What a verified signature says has to be about this case and its request of now."""

    MATTER = Matter("case-2", generation=2, request_hash="a" * 64, retried="case-1")

    def answer(self, channel: str = "topic", *, again: bool = False, **says: Any) -> Decision | Refused:
        signed = {"sender": "erp", "key": "erp-1", "request_hash": "a" * 64, "instance": "case-2"} | says
        data = {"approved": True, "approver": "bob", "signed": {name: value for name, value in signed.items() if value is not None}}
        event = RaisedEvent(seq=1, identity="i", name="approval_received", received_at=None, data=data, channel=channel, again=again)
        return decide(Stage("approval_workflow", "alice", DEADLINE, accept_raw_raise=True, matter=lambda: self.MATTER), event)

    @pytest.mark.parametrize("says", [{}, {"instance": "case-1"}], ids=["this case", "the failed one that it goes on with"])
    def test_what_was_signed_for_this_case_counts(self, says: dict[str, Any]) -> None:
        assert isinstance(self.answer(**says), Decision)

    def test_what_was_signed_for_another_case_is_refused(self) -> None:
        assert self.answer(instance="case-9") == Refused("it was signed for the case case-9, this is case-2")

    def test_what_was_signed_for_another_request_is_refused(self) -> None:
        answer = self.answer(request_hash="b" * 64)
        assert isinstance(answer, Refused)
        assert "it was signed for another request" in answer.reason

    def test_without_an_instance_it_is_for_the_first_case_of_its_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TestSigned, "MATTER", Matter("case-2", generation=2, request_hash="a" * 64))
        answer = self.answer(instance=None)
        assert isinstance(answer, Refused)
        assert "it was signed for the first case of its key" in answer.reason

    def test_what_an_earlier_run_has_used_stays_used(self) -> None:
        assert isinstance(self.answer(instance="case-9", again=True), Decision)

    def test_what_was_raised_past_the_ledger_has_no_sender_whatever_it_says(self) -> None:
        assert isinstance(self.answer("dapr-api", instance="case-9"), Decision), "as any raw raise, where they are accepted"
