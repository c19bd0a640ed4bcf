"""`sayso policy`: what is wrong, who would be asked until when, what would change, and whether the tables hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import PROJECT, World

EXAMPLES = PROJECT / "examples" / "events"
EUR = {"order_id": "PO-1", "product": "chair", "quantity": 1, "currency": "EUR", "requester": "alice"}


@pytest.fixture
def config(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of one's own, as shipped."""
    folder = place / "config"
    shutil.copytree(PROJECT / "config", folder)
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(folder))
    return folder


def request_file(place: Path, **request: object) -> str:
    path = place / "request.json"
    path.write_text(json.dumps(EUR | request), encoding="utf-8")
    return str(path)


def test_check_lists_the_policies_and_which_of_them_count(sayso: Sayso) -> None:
    answer = sayso("policy", "check")
    assert answer.code == 0
    assert "all of it is valid" in answer.err
    rows = {row["name"]: row for row in sayso("policy", "check", "--json").json["policies"]}
    assert rows["purchase_order_workflow"]["counts"]
    assert not rows["purchase_bands"]["counts"]
    assert rows["task_48h"]["variant"]


@pytest.mark.parametrize("command", [("policy", "check"), ("config", "check"), ("policy", "test")])
def test_a_wrong_policy_names_its_line_and_a_hint(config: Path, sayso: Sayso, command: tuple[str, ...]) -> None:
    path = config / "policies" / "purchase_order_workflow.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("request.cost", "request.csot"), encoding="utf-8")
    answer = sayso(*command)
    assert answer.code == 2
    assert (
        'purchase_order_workflow.yaml:15: `request.csot < numbers.below`: `request` has no "csot"; did you mean "cost"?' in answer.err
    )


def test_explain_says_people_dates_and_the_rule(place: Path, sayso: Sayso) -> None:
    file = request_file(place, cost="12000")
    answer = sayso("policy", "explain", file, "--policy", "purchase_bands", "--at", "2026-12-22T10:00+01:00")
    assert answer.code == 0
    assert "rule     two-persons (" in answer.out
    assert "1. finance\n   who       carol, erin, bob\n   needs     2 of them\n" in answer.out
    assert "2. director\n   who       dave\n" in answer.out
    found = sayso("policy", "explain", file, "--policy", "purchase_bands", "--at", "2026-12-22T10:00+01:00", "--json").json
    assert found["plan"]["rule"] == "two-persons"
    assert [(stage["round"], stage["name"], stage["due_at_latest"][:10]) for stage in found["stages"]] == [
        (1, "finance", "2027-01-07"),
        (1, "finance_escalated", "2027-01-11"),
        (2, "director", "2027-01-18"),
    ]


def test_explain_reads_the_event_that_opens_a_case(sayso: Sayso) -> None:
    answer = sayso("policy", "explain", str(EXAMPLES / "purchase-requested.json"))
    assert "policy   purchase_order_workflow" in answer.out
    assert "who       anyone (managers asked)" in answer.out


def test_explain_warns_where_nobody_may_decide(place: Path, sayso: Sayso) -> None:
    answer = sayso("policy", "explain", request_file(place, cost=600, requester="zoe"), "--policy", "purchase_bands")
    assert "zoe is not in the directory" in answer.err
    assert "nobody may decide on stage manager: it alerts and escalates at once" in answer.err


@pytest.mark.parametrize(
    ("arguments", "request_text", "code", "says"),
    [
        ((), json.dumps(EUR), 2, "say whose request it is with --workflow"),
        (("--policy", "purchase_band"), json.dumps(EUR), 2, 'did you mean "purchase_bands"?'),
        (("--workflow", "purchase_order"), json.dumps(EUR), 2, 'did you mean "purchase_order_workflow"?'),
        (
            ("--workflow", "order_saga", "--policy", "purchase_bands"),
            json.dumps(EUR),
            2,
            "is for purchase_order_workflow, not for order_saga",
        ),
        (("--policy", "purchase_bands"), json.dumps(EUR), 3, "a request of purchase_order_workflow: `cost`: field required"),
        (("--policy", "purchase_bands"), "[1]", 3, "a request is a JSON object"),
        (("--policy", "purchase_bands", "--at", "noon"), json.dumps(EUR), 2, '"noon" is no time'),
    ],
)
def test_explain_says_what_is_missing(
    place: Path, sayso: Sayso, arguments: tuple[str, ...], request_text: str, code: int, says: str
) -> None:
    (place / "request.json").write_text(request_text, encoding="utf-8")
    answer = sayso("policy", "explain", str(place / "request.json"), *arguments)
    assert (answer.code, says in answer.err) == (code, True), answer.err


HISTORY = [
    EUR | {"order_id": "PO-1", "cost": "100"},
    {"request": EUR | {"order_id": "PO-2", "cost": "1500"}, "asked_at": "2026-01-05T10:00:00Z", "outcome": "approved"},
    {"data": EUR | {"order_id": "PO-3", "cost": "900"}, "time": "2026-01-06T10:00:00Z"},
]


def test_simulate_says_what_would_have_been_different(place: Path, sayso: Sayso) -> None:
    (place / "past.jsonl").write_text("\n".join(map(json.dumps, HISTORY)), encoding="utf-8")
    answer = sayso("policy", "simulate", "purchase_bands", "--history", str(place / "past.jsonl"))
    assert answer.code == 1
    assert "PO-1" not in answer.out
    assert "3 requests: 1 nothing changes, 1 other people, 1 now somebody is asked" in answer.err
    found = sayso("policy", "simulate", "purchase_bands", "--history", str(place / "past.jsonl"), "--json").json
    assert [(change["key"], change["change"]) for change in found["changes"]] == [
        ("PO-1", "same"),
        ("PO-2", "others"),
        ("PO-3", "asked"),
    ]
    assert found["changes"][1] | {"key": ""} == {
        "key": "",
        "outcome": "approved",
        "before_rule": "otherwise",
        "before": "approval: anyone (managers asked)",
        "after_rule": "manager-alone",
        "after": "manager: bob",
        "change": "others",
    }


def test_simulate_takes_a_file_that_does_not_count_yet_and_finds_nothing_to_change(config: Path, place: Path, sayso: Sayso) -> None:
    (place / "past.jsonl").write_text(json.dumps(HISTORY), encoding="utf-8")
    draft = place / "draft.yaml"
    shutil.copy(config / "policies" / "purchase_order_workflow.yaml", draft)
    answer = sayso("policy", "simulate", str(draft), "--history", str(place / "past.jsonl"), "--all")
    assert (answer.code, answer.out.count("nothing changes")) == (0, 3)
    draft.write_text(
        draft.read_text(encoding="utf-8").replace("{value: PT24H, setting: purchase.approval_timeout}", "P2D"), encoding="utf-8"
    )
    assert "1 other times or rules" in sayso("policy", "simulate", str(draft), "--history", str(place / "past.jsonl")).err


def test_simulate_reads_past_cases_of_the_ledger(world: World, sayso: Sayso) -> None:
    for number, cost in enumerate(("100", "1500", "900")):
        world.buy(f"PO-{number}", f"e-{number}", cost=cost, currency="EUR", requester="alice")
    found = sayso("policy", "simulate", "purchase_bands", "--ledger", "--json").json
    assert found["counts"] == {"same": 1, "others": 1, "asked": 1}


def test_simulate_wants_one_past(sayso: Sayso) -> None:
    assert sayso("policy", "simulate", "purchase_bands").code == 2
    assert sayso("policy", "simulate", "purchase_bands", "--ledger", "--history", "-").code == 2


def test_the_shipped_tables_hold(sayso: Sayso) -> None:
    answer = sayso("policy", "test")
    assert answer.code == 0
    assert "of 21 requests are planned as expected" in answer.err


def test_a_table_that_does_not_hold_says_where_and_what(config: Path, sayso: Sayso) -> None:
    path = config / "policies" / "purchase_bands.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("petty: 250", "petty: 251"), encoding="utf-8")
    answer = sayso("policy", "test")
    assert answer.code == 1
    assert (
        "purchase_bands.yaml:12: purchase_bands: exactly the limit is not below it: rule is petty-cash, expected manager-alone"
        in answer.out
    )
    assert sayso("policy", "test", str(config / "policies/tests/task_48h.yaml")).code == 0
    assert sayso("policy", "test", "--json").json["failed"] == 1
