"""Approvals by a policy's plan, end to end but for the sidecar: tasks, votes, refusals, changes of mind, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from office import SETTINGS, Office, memory_engine

from sayso.contracts.approval_plan import ApprovalPlan, Quorum, Seat, StagePlan, Wait
from sayso.ledger import Ledger
from sayso.ledger.planning import SettingsAlone
from sayso.ledger.queries.cases import case_by_id
from sayso.ledger.queries.timeline import timeline_of
from sayso.ledger.schema import audit, cases, events, notices, tasks
from sayso.workflows import Workflows

HOUR = 3_600
DIRECTORY = """\
default: {notify: [sayso-file://]}
users: {alice: {name: A}, bob: {name: B}, carol: {name: C}, dave: {name: D}, erin: {name: E}, frank: {name: F}, gina: {name: G}}
groups: {managers: {name: Managers, members: [MEMBERS]}}
"""


def stage(name: str, *holders: str, quorum: str = "any", of: int | None = None, group: str | None = None, **more: Any) -> StagePlan:
    seats = tuple(Seat(holder=holder, member_of=group) for holder in holders)
    known = {"asked": (group,) if group else holders, "forbidden": ("alice",), "wait": Wait(seconds=48 * HOUR), "fields": ("cost",)}
    return StagePlan(name=name, seats=seats, quorum=Quorum.model_validate({"kind": quorum, "of": of}), **(known | more))


class House(SettingsAlone):
    """The policies of these tests: a plan for every request, by its cost."""

    def __init__(self, make: Callable[[dict[str, Any]], tuple[StagePlan, ...]]) -> None:
        self.make = make

    def plan(self, _workflow: str, request: dict[str, Any], _now: datetime) -> ApprovalPlan:
        rounds = tuple((one,) for one in self.make(request))
        digest = f"{request.get('cost')}"
        return ApprovalPlan(policy="house", version="1", policy_hash="0" * 64, request_hash=digest, rule="r", rounds=rounds)


class Company:
    """An office with policies, whose managers come and go."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._path = folder / "directory.yaml"
        self.house = House(two_stages)
        make = partial(memory_engine, policies=self.house)
        self.office = Office(ledger, make, SETTINGS.model_copy(update={"config_dir": folder}), self.house)
        self.workflows = Workflows(ledger, self.office.settings)
        self.managers_are("bob", "carol")

    def managers_are(self, *members: str) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(DIRECTORY.replace("MEMBERS", ", ".join(members)), encoding="utf-8")
        fresh.replace(self._path)

    def begin(self, cost: int = 1200) -> None:
        self.office.open()
        self.office.buy(cost=cost)
        self.office.wait_until(lambda: self.office.cases and self.office.cases[0].phase == "running")

    def says(self, topic: str, kind: str, **data: Any) -> str:
        """What becomes of one event; its state."""
        known = len(self.office.states)
        self.office.receive(topic, kind, {"order_id": "PO-1", **data})
        self.office.wait_until(lambda: len(self.office.states) > known and self.office.states[known] in ("consumed", "refused"))
        return self.office.states[known]

    def decides(self, approver: str, approved: bool = True, **more: Any) -> str:
        return self.says("approvals", "sayso.approval.decided.v1", approved=approved, approver=approver, **more)

    def acts(self, act: str, **more: Any) -> str | None:
        asked = getattr(self.workflows, act)(self.office.instance_id, actor="root", reason="because", **more)
        assert asked.event is not None, asked.reason
        for lane in self.office._dispatchers:
            lane.wake()
        self.office.wait_until(lambda: self.workflows.became_of(asked.event) is not None)
        became = self.workflows.became_of(asked.event)
        assert became is not None
        return became[0]

    @property
    def tasks(self) -> dict[str, tuple[str, str | None, list[str]]]:
        """Stage → state, decision, who has voted."""
        return {
            row.stage: (row.state, row.decision, [vote["by"] for vote in json.loads(row.votes)]) for row in self.office.rows(tasks)
        }

    @property
    def told(self) -> list[str]:
        view = self.office.ledger.read(partial(case_by_id, instance_id=self.office.instance_id))
        assert view is not None
        return [entry.text for entry in self.office.ledger.read(partial(timeline_of, case=view))]

    def audited(self, action: str) -> list[dict[str, Any]]:
        rows = [row for row in self.office.rows(audit) if row.action == action]
        return [{"actor": row.actor, "channel": row.channel, **json.loads(row.detail)} for row in rows]

    def published(self, kind: str) -> list[dict[str, Any]]:
        """By topic of this office's broker, in order."""
        return [event["data"] for event in self.office.broker.on(kind)]


def two_stages(_request: dict[str, Any]) -> tuple[StagePlan, ...]:
    return stage("manager", "bob", "carol", group="managers"), stage("board", "dave", "erin", "frank", quorum="number", of=2)


@pytest.fixture
def company(ledger: Ledger, tmp_path: Path) -> Iterator[Company]:
    opened = Company(ledger, tmp_path)
    yield opened
    opened.office.close()


def test_each_stage_is_a_task_that_shows_its_votes_and_people_are_asked_when_it_opens(company: Company) -> None:
    company.begin()
    assert company.tasks == {"manager": ("open", None, [])}
    assert company.decides("bob") == "consumed"
    assert company.tasks == {"manager": ("decided", "approve", ["bob"]), "board": ("open", None, [])}
    assert company.decides("dave") == "consumed"
    assert company.tasks["board"] == ("open", None, ["dave"])
    assert company.decides("erin", approved=False, reason="too dear") == "consumed"
    assert company.decides("frank", approved=False) == "consumed"
    company.office.wait_for_outcomes("rejected")
    assert company.tasks["board"] == ("decided", "reject", ["dave", "erin", "frank"])
    asked = [(one["stage"], one["asked"], one["request_version"]) for one in company.published("approval-requests")]
    assert asked == [("manager", ["managers"], 1), ("board", ["dave", "erin", "frank"], 1)]
    assert [row.recipient for row in company.office.rows(notices)] == ["managers", "dave", "erin", "frank"]
    assert [one["actor"] for one in company.audited("decided-approve")] == ["bob", "dave"]
    told = "\n".join(company.told)
    wanted = (
        "manager asked of managers",
        "bob decided: approve",
        "erin decided: reject on board: too dear",
        "board asked of dave, erin",
    )
    assert [words for words in wanted if words not in told] == []


def test_the_audit_says_who_asked_who_decided_and_by_which_policy_about_which_request(company: Company) -> None:
    company.begin()
    assert company.decides("bob") == "consumed"
    ((opened,), (_, asked), (decided,), (over,)) = map(
        company.audited, ("case-opened", "stage-opened", "decided-approve", "stage-approved")
    )
    assert (opened["requester"], asked["asked"], decided["actor"], decided["channel"]) == (
        "alice",
        "dave, erin, frank",
        "bob",
        "topic, signed by erp",
    )
    about = {name: opened[name] for name in ("policy", "policy_hash", "request_hash")}
    assert (about["policy"], about["policy_hash"], len(about["request_hash"])) == ("house 1", "0" * 64, 64)
    assert [{name: entry[name] for name in about} for entry in (asked, decided, over)] == [about] * 3


def test_a_refused_decision_goes_back_to_its_sender_with_the_reason(company: Company) -> None:
    company.begin()
    assert company.decides("alice") == "refused"
    assert company.decides("dave") == "refused"
    company.office.wait_until(lambda: len(company.published("refusals")) == 2)
    first, second = company.published("refusals")
    assert (first["by"], first["reason"]) == ("alice", "alice is the requester; nobody decides on an own request")
    assert (second["by"], second["type"]) == ("dave", "sayso.approval.decided.v1")
    assert company.tasks == {"manager": ("open", None, [])}


def test_membership_is_looked_up_when_the_decision_is_delivered(company: Company) -> None:
    company.begin()
    company.managers_are("carol")
    assert company.decides("bob") == "refused"
    assert company.office.reasons[1] == "bob is not a member of managers, who are asked"
    assert company.decides("carol") == "consumed"


def test_a_delegate_decides_and_the_audit_says_in_whose_place(company: Company) -> None:
    company.begin()
    assert company.says("approvals", "sayso.approval.delegated.v1", by="bob", to="gina") == "consumed"
    assert company.says("approvals", "sayso.approval.delegated.v1", by="bob", to="alice") == "refused"
    assert company.decides("gina") == "consumed"
    assert company.audited("decided-approve")[0]["on_behalf_of"] == "bob"
    assert company.audited("approval-delegated") == [{"actor": "bob", "channel": "topic", "to": "gina"}]
    assert "gina decided: approve on manager, in the place of bob (through topic, signed by erp)" in company.told


def test_an_amendment_after_a_stage_asks_again_and_keeps_what_was_decided_in_the_history(company: Company) -> None:
    company.begin()
    assert company.decides("bob") == "consumed"
    amended = partial(company.says, "purchases", "com.acme.purchase.amended.v1")
    assert amended(requester="bob", changes={"cost": "1500"}) == "refused"
    assert amended(requester="alice", changes={"order_id": "PO-2"}) == "refused"
    assert amended(requester="alice", changes={"cost": "free"}) == "refused"
    assert amended(requester="alice", changes={"cost": "1200"}) == "refused"
    assert amended(requester="alice", changes={"cost": "1500.00"}) == "consumed"
    assert company.tasks == {
        "manager": ("cancelled", None, ["bob"]),
        "manager/2": ("open", None, []),
        "board": ("cancelled", None, []),
    }
    assert company.decides("bob", request_hash="1200") == "refused"
    for approver in ("bob", "dave", "frank"):
        assert company.decides(approver) == "consumed"
    company.office.pay(amount=1500)
    company.office.wait_for_outcomes("completed")
    ((_, placed),) = [effect for effect in company.office.partners.effects.values() if effect[0] == "/orders"]
    assert placed["amount"] == "1500.00"
    assert [one["request"]["cost"] for one in company.published("approval-requests")] == ["1200", "1200", "1500.00", "1500.00"]


def test_operators_reassign_and_cancel_through_the_same_gate(company: Company) -> None:
    company.begin()
    assert company.acts("reassign", to="alice") == "refused"
    assert company.acts("reassign", to="gina") == "consumed"
    assert company.decides("bob") == "refused"
    assert [row.assigned_to for row in company.office.rows(tasks)] == ["gina"]
    assert company.decides("gina") == "consumed"
    assert company.acts("cancel") == "consumed"
    company.office.wait_for_outcomes("cancelled")
    assert [one["actor"] for one in company.audited("case-cancel-asked")] == ["root"]
    assert not company.workflows.cancel(company.office.instance_id, actor="root", reason="again").done


def test_a_waiting_case_is_planned_anew_on_purpose_and_keeps_what_still_stands(company: Company) -> None:
    company.begin()
    assert company.decides("bob") == "consumed"
    company.house.make = lambda _request: (stage("manager", "bob", "carol", group="managers"), stage("director", "gina"))
    assert company.tasks["board"] == ("open", None, [])  # nothing happens by itself
    assert company.acts("replan") == "consumed"
    assert company.tasks == {
        "manager": ("decided", "approve", ["bob"]),
        "board": ("cancelled", None, []),
        "director/2": ("open", None, []),
    }
    assert [(one["actor"], one["reason"]) for one in company.audited("approval-replanned")] == [("root", "because")]
    assert company.decides("dave") == "refused"
    assert company.decides("gina") == "consumed"
    company.office.pay()
    company.office.wait_for_outcomes("completed")


def test_a_case_that_nobody_would_be_asked_about_any_more_is_approved_when_it_is_planned_anew(company: Company) -> None:
    company.begin()
    company.house.make = lambda _request: ()
    assert company.acts("replan") == "consumed"
    company.office.wait_until(lambda: company.office.cases[0].stage == "waits for payment")
    assert company.tasks == {"manager": ("cancelled", None, [])}


def test_nobody_but_the_ledger_says_what_only_operators_may(company: Company) -> None:
    company.begin()
    assert (
        company.says("purchases", "com.acme.purchase.amended.v1", requester="alice", changes={"cost": "1"}, change="cancel")
        == "consumed"
    )
    assert company.office.outcomes == [None]


def test_an_order_is_withdrawn_while_it_waits_for_its_payment_whose_money_goes_back(company: Company) -> None:
    company.house.make = lambda _request: (stage("manager", "bob"),)
    company.begin()
    assert company.decides("bob") == "consumed"
    company.office.wait_until(lambda: company.office.cases[0].stage == "waits for payment")
    assert company.says("purchases", "com.acme.purchase.withdrawn.v1", requester="alice", reason="found some") == "consumed"
    company.office.wait_for_outcomes("withdrawn")
    assert [path for path, _ in company.office.partners.effects.values()] == ["/orders", "/orders/PO-1/cancel"]
    company.office.pay()
    company.office.wait_until(lambda: company.office.states[-1] == "late")
    company.office.wait_until(lambda: len(company.published("payment-commands")) == 2)


def test_a_stage_that_nobody_can_decide_alerts_and_asks_its_escalation_at_once(company: Company) -> None:
    director = stage("director", "dave")
    company.house.make = lambda _request: (stage("manager", "alice", then="escalate", escalation=director),)
    company.begin()
    assert company.tasks == {"manager": ("expired", None, []), "director": ("open", None, [])}
    assert "its escalation is asked" in company.office.alert("approval-stranded")["reason"]
    assert [row.recipient for row in company.office.rows(notices)] == ["dave"]
    assert company.decides("dave") == "consumed"


def test_time_escalates_and_then_ends_it(company: Company) -> None:
    director = stage("director", "dave", wait=Wait(seconds=0.2))
    manager = stage("manager", "bob", wait=Wait(seconds=0.2), then="escalate", escalation=director, reminders=[{"seconds": 0.05}])
    company.house.make = lambda _request: (manager,)
    company.begin()
    company.office.real_engine.advance(timedelta(seconds=30))
    company.office.wait_until(lambda: "director" in company.tasks)
    company.office.real_engine.advance(timedelta(seconds=30))
    company.office.wait_for_outcomes("timed_out")
    assert company.tasks == {"manager": ("expired", None, []), "director": ("expired", None, [])}
    assert [one["why"] for one in company.audited("stage-escalated")] == ["the time is over"]


def test_a_flood_of_refused_decisions_stalls_no_case_and_is_answered_so_often_and_no_more(company: Company) -> None:
    limits = company.office.settings.limits.model_copy(update={"case_events": 20})
    company.office.settings = company.office.settings.model_copy(update={"limits": limits})
    company.begin()
    for number in range(40):
        company.office.receive(
            "approvals", "sayso.approval.decided.v1", {"order_id": "PO-1", "approved": True, "approver": f"m{number}"}
        )
    company.office.wait_until(lambda: company.office.states.count("refused") == 40)
    company.office.wait_until(lambda: len(company.published("refusals")) == 20)
    assert company.says("purchases", "com.acme.purchase.withdrawn.v1", requester="alice") == "consumed"
    company.office.wait_for_outcomes("withdrawn")
    assert len(company.published("refusals")) == 20


def test_a_lost_run_finds_its_votes_again(company: Company) -> None:
    """The engine forgets the instance: the new run gets its events again, and the ledger has each vote once."""
    company.begin()
    for approver in ("bob", "dave"):
        assert company.decides(approver) == "consumed"
    company.office.real_engine.forget(company.office.instance_id)
    company.office.wait_until(lambda: company.office.rows(cases)[0].raise_after is None and company.office.alerts("case-restarted"))
    assert company.decides("erin") == "consumed"
    company.office.pay()
    company.office.wait_for_outcomes("completed")
    assert [one["actor"] for one in company.audited("decided-approve")] == ["bob", "dave", "erin"]
    assert company.office.states.count("consumed") == len(company.office.rows(events)) - 1
