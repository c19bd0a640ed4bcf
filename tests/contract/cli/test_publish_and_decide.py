"""`sayso publish` and `decide` up to the sidecar: what goes out, and what is refused before. The rest is tested on the real stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import BINDINGS, PURCHASE, WORKFLOW, World, cloudevent, purchase

from sayso.cli import case_page
from sayso.cli.deciding import Decision, decision_event
from sayso.cli.publishing import prepared, topic_of
from sayso.cli.signing import Desk, about_event, desk_of, requests_of_file, sign_where_needed
from sayso.cli.signing import signed as signed_body
from sayso.contracts.catalog import WORKFLOWS
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Resume, Verdict
from sayso.errors import ConfigurationError, MalformedError
from sayso.ledger.loaded import note_bindings
from sayso.ledger.queries.cases import find_cases
from sayso.publisher import Message
from sayso.signing.local_keys import make_local_keys
from sayso.stack_address import StackAddress, find_stack

DECISION = "sayso.approval.decided.v1"


def test_the_topic_comes_from_the_bindings() -> None:
    assert topic_of(BINDINGS, PURCHASE) == "purchases"


def test_an_unbound_type_names_the_nearest_one(sayso: Sayso) -> None:
    answer = sayso("publish", "-", stdin=cloudevent("com.acme.purchase.requestd.v1", {}, time="2026-01-01T00:00:00Z"))
    assert answer.code == 2
    assert 'did you mean "com.acme.purchase.requested.v1"?' in answer.err


def test_what_is_missing_is_named_and_can_be_filled_in(sayso: Sayso, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"type": PURCHASE, "data": purchase()}))
    answer = sayso("publish", str(file))
    assert answer.code == 3
    assert "no `specversion`, `id`, `source`, `time`" in answer.err
    (event,) = prepared(str(file), None, {}, BINDINGS, fill=True)
    assert (event.topic, event.key, event.event.source) == ("purchases", "PO-1", "/sayso/cli")


def test_the_type_is_never_filled_in(sayso: Sayso) -> None:
    answer = sayso("publish", "-", "--fill", stdin=b'{"data":{}}')
    assert (answer.code, "no `type`: add it" in answer.err) == (3, True)


def test_what_is_published_is_the_file_to_the_digit(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    data = '{"order_id":7,"cost":1200.50,"n":12345678901234567890}'
    file.write_text(f'{{"specversion":"1.0","type":"{PURCHASE}","data":{data}}}')
    (event,) = prepared(str(file), None, {"id": "given"}, BINDINGS, fill=True)
    assert f'"data":{data}'.encode() in event.body
    assert event.event.id == "given"


def test_an_array_and_json_lines_are_several_events(tmp_path: Path) -> None:
    one, two = (cloudevent(PURCHASE, purchase(key), time="2026-01-01T00:00:00Z").decode() for key in ("PO-1", "PO-2"))
    for text in (f"[{one},\n {two}]", f"{one}\n{two}\n", one + two):
        file = tmp_path / "events.json"
        file.write_text(text)
        assert [event.key for event in prepared(str(file), None, {}, BINDINGS, fill=False)] == ["PO-1", "PO-2"]


def test_one_wrong_event_keeps_all_from_being_published(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text(f'[{{"type":"{PURCHASE}","data":{{}}}}, {{"type":""}}]')
    with pytest.raises(MalformedError, match="event 2: `type` must be a non-empty text"):
        prepared(str(file), None, {}, BINDINGS, fill=True)


@pytest.mark.parametrize("text", ["", "[]", "{", "[1", '{"a":1} x', "\ufeff", "nul"])
def test_what_is_no_event_file_says_where(sayso: Sayso, text: str) -> None:
    answer = sayso("publish", "-", "--fill", stdin=text.encode())
    assert answer.code == 3
    assert "Traceback" not in answer.err


def test_a_file_that_is_not_there_is_a_usage_error(sayso: Sayso) -> None:
    assert sayso("publish", "nowhere.json").code == 2


def test_an_id_for_several_events_is_a_usage_error(sayso: Sayso) -> None:
    assert sayso("publish", "-", "--id", "x", "--fill", stdin=b"{}{}").code == 2


def test_without_a_stack_nothing_is_published(sayso: Sayso) -> None:
    answer = sayso("publish", "-", "--fill", stdin=json.dumps({"type": PURCHASE, "data": purchase()}).encode())
    assert (answer.code, "sayso up" in answer.err) == (5, True)


def test_a_sidecar_that_does_not_answer_is_said_so_at_once(sayso: Sayso, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPR_GRPC_PORT", "1")
    monkeypatch.setenv("DAPR_HTTP_PORT", "1")
    answer = sayso("publish", "-", "--fill", stdin=json.dumps({"type": PURCHASE, "data": purchase()}).encode())
    assert (answer.code, "does not answer" in answer.err, answer.out) == (5, True, "")


@pytest.mark.parametrize("workflow", [name for name in WORKFLOWS if case_page.decision_event(name)])
def test_a_decision_reaches_its_case_whatever_its_workflow(workflow: str) -> None:
    event = decision_event(Decision("K'\"#", approved=False, user=" bob ", comment="no", workflow=None), workflow, "K'\"#", BINDINGS)
    assert event.topic == "approvals"
    assert isinstance(event.verdict, Resume)
    assert (event.verdict.workflow, event.verdict.key) == (workflow, "K'\"#")
    data = event.event.data
    assert (data["approved"], data["approver"], data["reason"]) == (False, "bob", "no")


def test_a_decision_that_no_binding_takes_is_a_configuration_error() -> None:
    nothing = type(BINDINGS)(())
    with pytest.raises(ConfigurationError, match="no binding takes decisions for it"):
        decision_event(Decision("K", approved=True, user="bob", comment=None, workflow=None), WORKFLOW, "K", nothing)


def test_a_case_that_has_ended_is_not_decided(world: World, sayso: Sayso) -> None:
    world.buy()
    world.close("rejected")
    answer = sayso("decide", "PO-1", "approve", "--as", "bob")
    assert answer.code == 4
    assert "has ended (rejected" in answer.err


def test_a_case_that_has_not_come_needs_its_workflow_and_its_request(
    world: World, sayso: Sayso, signed: Callable[..., bytes], tmp_path: Path
) -> None:
    del world, signed  # the local key is there
    answer = sayso("decide", "PO-1", "approve", "--as", "bob")
    assert (answer.code, "--workflow NAME" in answer.err) == (1, True)
    unknown = sayso("decide", "PO-1", "approve", "--as", "bob", "--workflow", WORKFLOW)
    assert (unknown.code, "--about FILE" in unknown.err) == (2, True)
    (tmp_path / "asked.json").write_bytes(cloudevent(PURCHASE, purchase()))
    about = ("--workflow", WORKFLOW, "--about", str(tmp_path / "asked.json"))
    assert sayso("decide", "PO-1", "approve", "--as", "bob", *about).code == 5
    misspelt = sayso("decide", "PO-1", "approve", "--as", "bob", "--workflow", "purchase_order_workflo")
    assert (misspelt.code, f'did you mean "{WORKFLOW}"?' in misspelt.err) == (2, True)


def test_a_key_of_two_open_cases_asks_which(world: World, sayso: Sayso) -> None:
    world.buy("SAME")
    world.send("requests", "com.acme.request.submitted.v1", {"request_id": "SAME", "requester": "carol", "amount": 5000})
    answer = sayso("decide", "SAME", "approve", "--as", "bob")
    assert (answer.code, "approval_workflow, purchase_order_workflow" in answer.err) == (2, True)


def test_nobody_decides_as_nobody(world: World, sayso: Sayso) -> None:
    world.buy()
    assert sayso("decide", "PO-1", "approve", "--as", " ").code == 2
    assert sayso("decide", "PO-1", "perhaps", "--as", "bob").code == 2
    assert sayso("decide", "PO-1", "approve").code == 2


class Taken:
    """A broker that takes everything."""

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        return {}

    def close(self) -> None:
        """Nothing to close."""


def test_what_is_published_again_or_in_vain_is_said(world: World, sayso: Sayso, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StackAddress, "publisher", lambda _: Taken())
    first = cloudevent(PURCHASE, purchase("PO-1"), "first", time="2026-01-01T00:00:00Z")
    assert "note:" not in sayso("publish", "-", stdin=first).err
    world.receive("purchases", first)
    world.route()
    again = sayso("publish", "-", stdin=first)
    assert (again.code, "note: it is a repetition: the same as event 1, which is started" in again.err) == (0, True)
    second = cloudevent(PURCHASE, purchase("PO-1"), "second", time="2026-01-01T00:00:00Z")
    assert "note: it will be refused: the case for key 'PO-1' is open" in sayso("publish", "-", stdin=second).err


def test_a_stack_that_runs_with_other_bindings_is_told(world: World, sayso: Sayso, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StackAddress, "publisher", lambda _: Taken())
    monkeypatch.setenv("DAPR_GRPC_PORT", "1")
    event = cloudevent(PURCHASE, purchase(), time="2026-01-01T00:00:00Z")
    for digest, told in ((BINDINGS.digest, False), ("an older one", True)):
        world.ledger.transact(partial(note_bindings, digest=digest))
        said = sayso("publish", "-", stdin=event).err
        assert ("the running stack has loaded other bindings" in said) is told
    world.receive("purchases", b"not json")
    world.route()
    assert "the running stack has loaded other bindings" in sayso("dead", "replay", "--all", "--dry-run").err


class TestSigning:
    """`--sign` up to the sidecar: with the demo sender's key, as the first start makes it."""

    @pytest.fixture
    def desk(self, world: World) -> Desk:
        stack = find_stack()
        make_local_keys(stack.settings.config_dir / "senders.yaml", stack.settings.state_dir)
        return desk_of(stack, stack.bindings())

    def foretold(self, desk: Desk, body: bytes) -> Verdict:
        notary = desk.stack.notary()
        return notary.vouch(correlate(desk.bindings, "approvals", body), datetime.now(UTC))

    def test_a_decision_is_about_the_open_case(self, world: World, desk: Desk) -> None:
        world.buy()
        (case,) = world.ledger.read(partial(find_cases, reference="PO-1"))
        body = sign_where_needed(desk.stack, "approvals", cloudevent(DECISION, {"order_id": "PO-1", "approver": "bob"}), case)
        verdict = self.foretold(desk, body)
        assert isinstance(verdict, Resume)
        assert verdict.payload["signed"]["instance"] == case.instance_id
        assert verdict.payload["signed"]["sender"] == "demo"

    def test_before_its_case_it_is_about_a_request_that_is_at_hand(self, desk: Desk, tmp_path: Path) -> None:
        asked = tmp_path / "asked.json"
        asked.write_bytes(cloudevent(PURCHASE, purchase()))
        body = cloudevent(DECISION, {"order_id": "PO-1", "approver": "bob"})
        verdict = correlate(desk.bindings, "approvals", body)
        pen = desk.pen("demo", DECISION)
        assert about_event(desk.stack, verdict, {}) is None
        with pytest.raises(ConfigurationError, match="--about FILE"):
            signed_body(pen, body, verdict, None)
        about = about_event(desk.stack, verdict, requests_of_file(str(asked), desk.bindings))
        assert isinstance(self.foretold(desk, signed_body(pen, body, verdict, about)), Resume)

    def test_a_sender_that_is_not_there_names_the_nearest(self, desk: Desk) -> None:
        with pytest.raises(ConfigurationError, match='did you mean "demo"'):
            desk.pen("demmo", DECISION)

    def test_explain_says_that_an_unsigned_decision_would_be_rejected(self, world: World, desk: Desk, sayso: Sayso) -> None:
        world.buy()
        answer = sayso("explain", "-", stdin=cloudevent(DECISION, {"order_id": "PO-1", "approver": "bob"}))
        assert answer.code == 3
        assert "it is not signed" in answer.out
