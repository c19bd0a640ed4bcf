"""What operators ask for: suspend, resume, terminate, retry, purge; and what meets it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from office import Office

from sayso.ledger import acts as ledger_acts
from sayso.ledger import read_ledger_id
from sayso.ledger.acts import Asked
from sayso.ledger.cases import Rules
from sayso.ledger.schema import acts, audit, steps, tasks

WHO = {"actor": "olga", "reason": "asked by phone"}


def ask(office: Office, act: str, instance_id: str | None = None) -> Asked:
    """As `sayso workflow ACT` does."""
    change: Any = getattr(ledger_acts, act)
    more = {"rules": Rules(office.settings, read_ledger_id(office.ledger))} if act == "retry" else {}
    answer = office.ledger.transact(partial(change, instance_id=instance_id or office.instance_id, **more, **WHO))
    assert isinstance(answer, Asked)
    return answer


def waiting(office: Office, stage: str = "approval") -> Any:
    """An order that waits for this stage; its instance."""
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    if stage == "payment":
        office.decide()
        office.wait_until(lambda: office.cases[0].stage == "waits for payment")
    return office.real_engine.runs[office.instance_id]


def settled(office: Office) -> bool:
    """Whether the engine was told everything."""
    return all(row.state != "asked" for row in office.rows(acts))


def kinds_of_alerts(office: Office) -> list[str]:
    return [event["data"]["kind"] for event in office.broker.on("alerts")]


def fail(office: Office) -> None:
    """The workflow raises an error, and the reconciler finds it."""
    run = office.real_engine.runs[office.instance_id]
    run.status, run.failure = "FAILED", "a bug"
    office.wait_for_outcomes("failed")


def test_a_suspended_case_receives_its_events_and_uses_them_when_it_is_resumed(office: Office) -> None:
    run = waiting(office)
    assert ask(office, "suspend").done
    office.wait_until(lambda: run.status == "SUSPENDED" and settled(office))
    office.decide()
    office.pay()
    office.wait_until(lambda: office.states == ["started", "delivered", "delivered"])
    checked = office.cases[0].checked_at_ms
    office.wait_until(lambda: (office.cases[0].checked_at_ms or 0) > (checked or 0))
    assert (kinds_of_alerts(office), office.cases[0].finding, office.cases[0].phase) == ([], None, "running")
    assert ask(office, "resume").done
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    said = [(row.action, row.actor, json.loads(row.detail)["reason"]) for row in office.rows(audit) if row.actor == "olga"]
    assert said == [("case-suspend-asked", "olga", "asked by phone"), ("case-resume-asked", "olga", "asked by phone")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_engine_that_does_not_answer_is_told_again(office: Office, after: bool) -> None:
    run = waiting(office)
    office.engine.fail_next("suspend", 2, after=after)
    office.engine.fail_next("resume", 2, after=after)
    ask(office, "suspend")
    ask(office, "resume")
    office.wait_until(lambda: settled(office))
    assert [row.state for row in office.rows(acts)] == ["done", "done"]
    assert run.status == "RUNNING"
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")


def test_what_is_said_twice_is_done_once(office: Office) -> None:
    waiting(office)
    assert ask(office, "resume").reason == "it is not suspended"
    assert ask(office, "suspend").done
    assert ask(office, "suspend").reason == "it is suspended already"
    assert ask(office, "terminate").done
    for act in ("terminate", "suspend", "resume"):
        assert ask(office, act).reason == "it has ended: cancelled"


def test_one_that_is_suspended_past_the_ledger_raises_an_alert_and_can_be_resumed(office: Office) -> None:
    run = waiting(office)
    run.suspend()
    office.wait_until(lambda: office.cases[0].finding is not None)
    office.wait_until(lambda: kinds_of_alerts(office) == ["case-suspended"])
    assert ask(office, "resume").done
    office.wait_until(lambda: run.status == "RUNNING")


def test_a_suspended_case_that_the_engine_loses_is_started_again_and_suspended_again(office: Office) -> None:
    waiting(office)
    ask(office, "suspend")
    office.wait_until(lambda: settled(office))
    office.real_engine.forget(office.instance_id)
    office.wait_until(
        lambda: office.instance_id in office.real_engine.runs and office.real_engine.runs[office.instance_id].status == "SUSPENDED"
    )
    office.decide()
    office.pay()
    office.wait_until(lambda: settled(office) and office.states == ["started", "delivered", "delivered"])
    ask(office, "resume")
    office.wait_for_outcomes("completed")
    assert len(office.partners.effects) == 1


def test_a_case_that_ends_while_it_is_suspended_ends_in_the_engine_too(office: Office) -> None:
    """Its last activity was at work."""
    run = waiting(office, "payment")
    with run.busy():
        office.pay()
        office.wait_until(lambda: office.states[-1] == "delivered")
        ask(office, "suspend")
        office.wait_until(lambda: settled(office))
    office.wait_for_outcomes("completed")
    office.wait_until(lambda: settled(office) and run.status == "COMPLETED")
    assert [(row.act, row.reason) for row in office.rows(acts)][1:] == [("resume", "its case has ended")]


def test_a_suspension_that_comes_after_the_end_is_not_told(office: Office) -> None:
    run = waiting(office, "payment")
    office.engine.fail_next("suspend", 20)
    ask(office, "suspend")
    office.pay()
    office.wait_for_outcomes("completed")
    office.wait_until(lambda: settled(office))
    assert run.status == "COMPLETED"
    assert [row.state for row in office.rows(acts) if row.act == "suspend"] == ["void"]


def test_a_terminated_case_is_cancelled_at_once_and_what_it_did_not_use_is_unclaimed(office: Office) -> None:
    run = waiting(office, "payment")
    with run.busy():
        office.decide(approver="carol")
        office.wait_until(lambda: office.states == ["started", "consumed", "delivered"])
    office.pay(amount=7)
    office.wait_until(lambda: office.states[-1] in ("refused", "delivered"))
    ask(office, "terminate")
    case = office.cases[0]
    assert (case.outcome, case.ended_as, case.reason) == ("cancelled", "TERMINATED", "terminated by olga: asked by phone")
    office.wait_until(lambda: settled(office) and run.status == "TERMINATED")
    office.wait_for_outcomes("cancelled")
    assert "delivered" not in office.states
    office.pay()
    office.wait_until(lambda: office.states[-1] == "late")
    office.wait_until(lambda: [one["type"] for one in office.broker.on("payment-commands")][-1] == "sayso.payment.refund-requested.v1")
    assert [row.state for row in office.rows(tasks)] == ["decided"]


def test_a_suspended_case_can_be_terminated(office: Office) -> None:
    run = waiting(office)
    ask(office, "suspend")
    ask(office, "terminate")
    office.wait_until(lambda: settled(office) and run.status == "TERMINATED")
    assert [row.act for row in office.rows(acts)][:3] == ["suspend", "terminate", "resume"]
    assert office.outcomes == ["cancelled"]


def test_a_case_that_is_terminated_before_it_has_begun_never_waits_in_the_engine(office: Office) -> None:
    office.engine.fail_next("start", 3, after=True)
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases)
    ask(office, "terminate")
    office.wait_until(lambda: settled(office))
    assert office.outcomes == ["cancelled"]
    assert office.instance_id not in office.real_engine.runs or office.real_engine.runs[office.instance_id].has_ended


def test_what_a_service_did_while_its_case_was_terminated_is_in_the_audit_log(office: Office) -> None:
    waiting(office)
    real = office.partners.call

    def slow(path: str, body: Any, idempotency_key: str) -> dict[str, Any]:
        ask(office, "terminate")
        return real(path, body, idempotency_key)

    office.partners.call = slow  # type: ignore[method-assign]
    office.decide()
    office.wait_for_outcomes("cancelled")
    office.wait_until(lambda: "effect-after-end" in [row.action for row in office.rows(audit)])
    (said,) = [json.loads(row.detail) for row in office.rows(audit) if row.action == "effect-after-end"]
    assert said["key"] == f"{office.instance_id}/place_order/0"


def test_one_that_somebody_terminates_past_the_ledger_is_cancelled_with_an_alert(office: Office) -> None:
    run = waiting(office)
    run.terminate("by hand")
    office.wait_for_outcomes("cancelled")
    office.wait_until(lambda: kinds_of_alerts(office) == ["case-failed"])
    assert office.cases[0].ended_as == "TERMINATED"


def test_a_retry_goes_on_behind_the_steps_that_were_done(office: Office) -> None:
    waiting(office, "payment")
    before = office.instance_id
    fail(office)
    answer = ask(office, "retry")
    assert answer.done
    office.wait_until(lambda: office.cases[-1].stage == "waits for payment" or len(office.rows(steps)) > 1)
    office.pay()
    office.wait_for_outcomes("failed", "completed")
    first, second = office.cases
    assert (second.instance_id, second.generation, second.rerun_of) == (answer.case, 2, before)
    assert list(office.partners.effects) == [f"{before}/place_order/0"]
    assert office.states == ["started", "consumed", "consumed"]
    assert [row.state for row in office.rows(tasks)] == ["decided", "decided"]
    assert [one["data"]["case"] for one in office.broker.on("payment-commands")] == [first.instance_id]


def test_a_retry_gives_the_new_run_what_waited_for_the_failed_one(office: Office) -> None:
    """Also when its effect had happened and nobody had written it down: the key is the same."""
    run = waiting(office)
    before = office.instance_id
    with run.busy():
        office.decide()
        office.wait_until(lambda: office.states == ["started", "delivered"])
        run.lose_calls()
    office.partners.call("/orders", {}, f"{before}/place_order/0")
    fail(office)
    assert office.states == ["started", "unclaimed"]
    assert ask(office, "retry").done
    office.wait_until(lambda: office.cases[-1].stage == "waits for payment")
    office.pay()
    office.wait_for_outcomes("failed", "completed")
    assert office.states == ["started", "consumed", "consumed"]
    assert list(office.partners.effects) == [f"{before}/place_order/0"]


def test_a_retry_leaves_a_payment_alone_that_was_given_back(office: Office) -> None:
    run = waiting(office, "payment")
    with run.busy():
        office.pay()
        office.wait_until(lambda: office.states[-1] == "delivered")
        run.lose_calls()
    fail(office)
    assert ask(office, "retry").done
    office.wait_until(lambda: office.cases[-1].phase == "running")
    assert (office.states[-1], office.cases[-1].outcome) == ("unclaimed", None)


def test_a_rerun_that_fails_can_be_rerun_and_keeps_the_first_keys(office: Office) -> None:
    waiting(office, "payment")
    first = office.instance_id
    fail(office)
    second = ask(office, "retry").case
    office.wait_until(lambda: second in office.real_engine.runs and office.cases[-1].phase == "running")
    run = office.real_engine.runs[second]
    office.wait_until(lambda: run.call_names == ["place_order"])
    run.status, run.failure = "FAILED", "again"
    office.wait_for_outcomes("failed", "failed")
    assert ask(office, "retry", first).reason == "it has been followed by generation 2"
    assert ask(office, "retry", second).done
    office.wait_until(lambda: office.cases[-1].phase == "running")
    office.pay()
    office.wait_for_outcomes("failed", "failed", "completed")
    assert list(office.partners.effects) == [f"{first}/place_order/0"]


def test_what_ended_by_its_own_rules_is_not_retried(office: Office) -> None:
    waiting(office)
    assert ask(office, "retry").reason == "it is open"
    office.decide(approved=False)
    office.wait_for_outcomes("rejected")
    assert ask(office, "retry").reason == "its workflow ended it by its own rules (rejected); a new request opens a new case"


def test_only_what_has_ended_is_purged_and_the_ledger_keeps_it(office: Office) -> None:
    waiting(office)
    assert ask(office, "purge").reason == "it is open; only what has ended is purged"
    office.decide(approved=False)
    office.wait_for_outcomes("rejected")
    assert ask(office, "purge").done
    office.wait_until(lambda: settled(office) and office.instance_id not in office.real_engine.runs)
    assert office.outcomes == ["rejected"]
    assert ask(office, "purge").done
    office.wait_until(lambda: settled(office))
