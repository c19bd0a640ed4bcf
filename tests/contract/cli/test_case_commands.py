"""`sayso cases`, `case`, `tasks`: what they say of cases that production code has made."""

from __future__ import annotations

from answers import Sayso
from ledger_world import WORKFLOW, World

from sayso.ledger.schema import outbox

ODD_KEY = "a|b@c/d\\e #?'\"\x1b[31m\u202e"


def decided(world: World, key: str = "PO-1") -> None:
    """A case that was opened, approved and placed, and waits for its payment."""
    world.buy(key)
    world.drive()
    world.decide(key)
    world.drive()
    decision = {"decision": "approve", "decided_by": "bob"}
    world.step("place_order", {"reference": "r-1"}, used=[world.events[-1].seq], decision=decision, stage="waits for payment")


def test_a_case_shows_what_it_waits_for_and_everything_that_happened_in_order(world: World, sayso: Sayso) -> None:
    decided(world)
    page = sayso("case", "PO-1")
    assert page.code == 0
    told = [
        "event 1 arrived",
        "case opened",
        "approval asked of managers",
        "event 2 arrived",
        "bob decided: approve",
        'place_order done: {"reference": "r-1"}',
        "event 2 consumed: used by place_order",
    ]
    places = [page.out.index(line) for line in told]
    assert places == sorted(places)
    assert "running, waits for payment until" in page.out
    assert "in 7 days" in page.out


def test_an_open_request_shows_how_to_decide_it_also_past_the_topics(world: World, sayso: Sayso) -> None:
    world.buy()
    page = sayso("case", "PO-1")
    assert "sayso decide PO-1 approve|reject --as USER" in page.err
    command = f"dapr workflow raise-event {world.case.instance_id}/approval_received --app-id sayso --input"
    assert f'{command} \'{{"approved":true,"approver":"alice"}}\'' in page.err


def test_an_ended_case_shows_outcome_result_and_milestones(world: World, sayso: Sayso) -> None:
    decided(world)
    world.close("completed", "Approved by 'bob'")
    page = sayso("case", "PO-1")
    assert "completed" in page.out
    assert "Approved by 'bob'" in page.out
    assert "case ended: completed" in page.out
    assert sayso("case", "PO-1", "--json").json["status"] == "completed"


def test_trouble_with_the_engine_shows(world: World, sayso: Sayso) -> None:
    world.buy()
    for job in world.lease():
        world.settle(job, error="the engine did not answer (UNAVAILABLE)")
    assert "the engine did not answer (UNAVAILABLE)" in sayso("case", "PO-1").out
    assert "the engine did not answer" in sayso("cases").out


def test_a_case_without_a_sidecar_is_told_by_the_ledger_alone(world: World, sayso: Sayso) -> None:
    decided(world)
    page = sayso("case", "PO-1", "--json")
    assert page.code == 0
    assert "without the engine's history" in page.err
    assert page.json["engine"] is None


def test_a_case_is_found_by_its_instance_id_too(world: World, sayso: Sayso) -> None:
    world.buy()
    assert sayso("case", world.case.instance_id, "--json").json["case"]["key"] == "PO-1"


def test_an_unknown_case_or_generation_is_not_found(world: World, sayso: Sayso) -> None:
    world.buy()
    assert sayso("case", "PO-2").code == 1
    earlier = sayso("case", "PO-1", "--generation", "2")
    assert earlier.code == 1
    assert "the latest is 1" in earlier.err


def test_a_key_of_two_workflows_asks_which(world: World, sayso: Sayso) -> None:
    world.buy("SAME")
    request = {"request_id": "SAME", "requester": "carol", "amount": 5000}
    world.send("requests", "com.acme.request.submitted.v1", request)
    page = sayso("case", "SAME")
    assert page.code == 2
    assert "--workflow NAME" in page.err
    assert sayso("case", "SAME", "--workflow", "approval_workflow", "--json").json["case"]["workflow"] == "approval_workflow"


def test_an_odd_key_is_found_as_it_is_and_never_steers_the_terminal(world: World, sayso: Sayso) -> None:
    world.buy(ODD_KEY, product="\x1b]0;title\x07[bold]x[/bold]")
    for arguments in (["case", ODD_KEY], ["cases"], ["tasks"], ["events"], ["event", "1"], ["outbox"]):
        answer = sayso(*arguments)
        assert answer.code == 0
        assert "\x1b" not in answer.out + answer.err
        assert "\u202e" not in answer.out + answer.err
    assert "[bold]x[/bold]" in sayso("case", ODD_KEY).out
    assert sayso("case", ODD_KEY, "--json").json["case"]["key"] == ODD_KEY


def test_a_hint_names_an_odd_key_by_what_can_be_typed(world: World, sayso: Sayso) -> None:
    world.buy(ODD_KEY)
    assert f"sayso decide {world.case.instance_id} approve|reject" in sayso("tasks").err


def test_a_long_key_is_found_and_shortened_in_lists(world: World, sayso: Sayso) -> None:
    key = "k" * 500
    world.buy(key)
    assert sayso("case", key, "--json").json["case"]["key"] == key
    assert "…" in sayso("cases").out


def test_cases_are_filtered_by_status_and_workflow(world: World, sayso: Sayso) -> None:
    world.buy("PO-1")
    world.close("rejected", "Rejected by 'bob'")
    world.buy("PO-2")
    assert [case["key"] for case in sayso("cases", "--json").json] == ["PO-2", "PO-1"]
    assert [case["key"] for case in sayso("cases", "--status", "open", "--json").json] == ["PO-2"]
    assert [case["key"] for case in sayso("cases", "--status", "rejected", "--json").json] == ["PO-1"]
    assert sayso("cases", "--workflow", "approval_workflow", "--json").json == []
    assert "1 of 2" in sayso("cases", "--limit", "1").err


def test_a_misspelt_status_names_the_nearest(world: World, sayso: Sayso) -> None:
    del world
    answer = sayso("cases", "--status", "rejectd")
    assert (answer.code, 'did you mean "rejected"?' in answer.err) == (2, True)


def test_tasks_say_what_is_asked_of_whom_and_until_when(world: World, sayso: Sayso) -> None:
    world.buy()
    (task,) = sayso("tasks", "--json").json
    assert (task["key"], task["assigned_to"], task["requester"]) == ("PO-1", "managers", "alice")
    assert task["what"] == "bolts (3) for 1200 EUR"
    world.decide()
    world.close("rejected", "no", decision={"decision": "reject", "decided_by": "bob"})
    assert sayso("tasks", "--json").json == []


def test_watching_prints_each_line_once_until_the_outcome_is_published(world: World, sayso: Sayso) -> None:
    decided(world)
    world.close()
    world.change(outbox, published_at_ms=1)
    watched = sayso("case", "PO-1", "--watch")
    assert watched.code == 0
    lines = [line for line in watched.out.splitlines() if "arrived" in line or "case ended" in line]
    assert len(lines) == len(set(lines)) == 3
    lines = sayso("case", "PO-1", "--watch", "--json").out.splitlines()
    assert all('"kind"' in line for line in lines)


def test_names_of_workflows_are_those_of_the_catalog(world: World, sayso: Sayso) -> None:
    world.buy()
    assert sayso("cases", "--workflow", WORKFLOW, "--json").json[0]["workflow"] == WORKFLOW
