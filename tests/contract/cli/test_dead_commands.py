"""`sayso dead`: what failed, what a replay would do, and that nothing happens without a name, a choice and a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from answers import Sayso
from ledger_world import DECISION, World, cloudevent, purchase

from sayso.ledger.schema import audit

HOSTILE = "com.acme.\x1b]0;owned\x07\x1b[2J\u202e.v1"


@pytest.fixture
def failed(world: World, signed: Callable[..., bytes]) -> World:
    """1 expired (its case came afterwards: 2), 3 rejected."""
    decision = cloudevent(DECISION, {"order_id": "PO-1", "approved": True, "approver": "bob"})
    world.receive("approvals", signed(decision))
    world.route()
    world.let_time_pass(timedelta(days=8))
    world.route()
    world.buy()
    world.receive("purchases", b"not json")
    world.route()
    assert world.states == ["expired", "started", "rejected"]
    return world


def test_what_failed_is_listed_with_its_reason_and_counted(failed: World, sayso: Sayso) -> None:
    listed = sayso("dead", "list")
    assert "not JSON" in listed.out
    assert listed.err.startswith("1 expired, 1 rejected; what a replay would do: sayso dead replay")
    answer = sayso("dead", "list", "--state", "expired", "--json").json
    assert answer["counts"] == {"expired": 1}
    assert [event["number"] for event in answer["events"]] == [1]
    assert sayso("dead", "list", "--limit", "1").err.count("1 shown") == 1


def test_one_shows_what_a_replay_would_do(failed: World, sayso: Sayso) -> None:
    assert "replay    would be delivering: goes to purchase_order-PO-1-1" in sayso("dead", "show", "1").out
    assert "replay    would change nothing: it would be rejected again: not JSON" in sayso("dead", "show", "#3").out
    assert sayso("dead", "show", "1", "--json").json["replay"]["done"] is True
    assert sayso("dead", "show", "99").code == 1


def test_a_dry_run_changes_nothing_and_a_replay_does_what_it_said(failed: World, sayso: Sayso) -> None:
    before = failed.events
    dry = sayso("dead", "replay", "--all", "--dry-run")
    assert (dry.code, failed.events) == (4, before)
    assert "event 1: would be delivering: goes to" in dry.out
    assert "event 3: stays: it would be rejected again" in dry.out
    assert dry.err.startswith("1 would be replayed, 1 stay as they are")
    done = sayso("dead", "replay", "1", "--as", "alice", "--json")
    assert (done.code, [event["state"] for event in done.json["events"]]) == (0, ["delivering"])
    assert failed.states[0] == "received"
    again = sayso("dead", "replay", "1", "--as", "bob")
    assert (again.code, "event 1: stays: it is received: replayed by alice" in again.out) == (4, True)
    failed.route()
    assert failed.states[0] == "delivering"
    assert [row.actor for row in failed.rows(audit) if row.action == "event-replayed"] == ["alice"]
    assert "event-replayed by alice" in sayso("case", "PO-1").out
    assert "event-replayed by alice (cli)" in sayso("event", "1").out


def test_giving_up_needs_a_name_and_a_reason(failed: World, sayso: Sayso) -> None:
    assert "--as USER" in sayso("dead", "give-up", "3", "--comment", "garbage").err
    assert "--comment" in sayso("dead", "give-up", "3", "--as", "alice").err
    assert "--as USER" in sayso("dead", "replay", "1").err
    assert failed.states == ["expired", "started", "rejected"]
    assert sayso("dead", "give-up", "3", "--dry-run").code == 0
    assert failed.states[2] == "rejected"
    given_up = sayso("dead", "give-up", "3", "--as", "alice", "--comment", "a probe of ours")
    assert (given_up.code, failed.states[2]) == (0, "dead")
    assert "given up by alice: a probe of ours; was rejected: not JSON" in failed.events[2].reason
    assert "event-given-up by alice (cli): a probe of ours" in sayso("event", "3").out


def test_nothing_chosen_is_not_everything(failed: World, sayso: Sayso) -> None:
    answer = sayso("dead", "replay", "--as", "alice")
    assert (answer.code, "--all" in answer.err) == (2, True)
    for command in ("replay", "give-up"):
        assert "say which events" in sayso("dead", command).err
    assert sayso("dead", "replay", "--reason", "no such words", "--as", "alice").code == 1
    assert sayso("dead", "give-up", "nothing", "--as", "alice", "--comment", "x").code == 1
    assert failed.states == ["expired", "started", "rejected"]


def test_a_named_event_must_also_pass_the_filter(failed: World, sayso: Sayso) -> None:
    assert sayso("dead", "replay", "1", "--topic", "payments", "--as", "alice").code == 1
    assert failed.states[0] == "expired"


@pytest.mark.parametrize(
    ("since", "found"), [("PT1H", 2), ("2000-01-01", 2), ("2000-01-01T00:00:00Z", 2), ("2100-01-01T12:00", 0), ("-PT1H", 0)]
)
def test_a_time_is_a_date_or_how_long_ago(failed: World, sayso: Sayso, since: str, found: int) -> None:
    assert len(sayso("dead", "list", "--since", since, "--json").json["events"]) == found


@pytest.mark.parametrize("text", ["yesterday", "P1000000000Y", ""])
def test_a_time_that_is_none_says_how_to_write_it(failed: World, sayso: Sayso, text: str) -> None:
    answer = sayso("dead", "list", "--since", text)
    assert (answer.code, "PT1H for an hour ago" in answer.err) == (2, True)


def test_two_events_of_one_id_are_told_apart_by_number(world: World, sayso: Sayso) -> None:
    for source in ("/a", "/b"):
        world.receive("purchases", cloudevent("com.acme.unknown.v1", {}, "same", source))
    world.route()
    answer = sayso("dead", "replay", "same", "--as", "alice")
    assert (answer.code, "choose by number: #1, #2" in answer.err) == (2, True)


def test_hostile_words_steer_no_terminal(world: World, sayso: Sayso) -> None:
    world.send("purchases", HOSTILE, purchase())
    world.decide("\x1b[31mPO\x9b\r\n")
    world.let_time_pass(timedelta(days=8))
    world.route()
    world.receive("purchases", b"\x1b[2J\x07")
    world.route()
    who = ("--as", "al\x1b[1mice", "--comment", "\x1b]0;x\x07")
    for arguments in (
        ["list"],
        ["show", "1"],
        ["show", "2"],
        ["show", "3"],
        ["replay", "--all", "--dry-run"],
        ["replay", "--all", *who[:2]],
        ["give-up", "--all", *who],
        ["show", "1"],
        ["list", "--state", "dead"],
        ["list", "--reason", "\x1b", "--state", "dead"],
    ):
        answer = sayso("dead", *arguments)
        printed = answer.out + answer.err
        assert "Traceback" not in printed
        assert not [character for character in printed if not character.isprintable() and character != "\n"], arguments
    assert "given up by al\\x1b[1mice: \\x1b]0;x\\x07" in sayso("dead", "show", "1").out
