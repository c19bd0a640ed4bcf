"""A case is one case over all runs of its workflow: nothing that came is lost or used twice when it continues as new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import RECORDED_AT, Carried, CaseInput, CaseRef, Closing, Plan, RaisedEvent
from sayso.testing.workflow_run import WorkflowRun
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import DIRECT_MAX, Mailbox

START = datetime(2026, 1, 5, tzinfo=UTC)
CASE = CaseRef(workflow="watch", key="W-1", generation=1, instance_id="case-W-1", opened_at=START)
INPUT = CaseInput(case=CASE, request={}, plan=Plan(approval_timeout_seconds=60))
NAMES = ("tick", "tock", "stop")
Event = tuple[str, dict[str, Any]]
Watch = Callable[..., WorkflowRun]


def event(number: int, name: str = "tick") -> Event:
    identity = hashlib.sha256(str(number).encode()).hexdigest()
    raised = RaisedEvent(seq=number, identity=identity, name=name, received_at=START, data={"number": number})
    return name, raised.as_payload()


def watching(events_a_run: int, asks_for: Sequence[str], looks: bool) -> Callable[..., Yields]:
    """A workflow that takes these names' events, continues as new after so many, and ends at `stop`: gives what it took, in order."""

    def watch(ctx: Any, raw: dict[str, Any]) -> Yields:
        journal = Journal(ctx, CaseInput.model_validate(raw))
        mailbox = Mailbox(journal, NAMES)
        taken = journal.carried.own.get("taken", [])
        mailbox.wait_until(journal.now + timedelta(hours=1))
        for _ in range(events_a_run):
            event = yield from mailbox.next([*asks_for, "stop"])
            if event is None or event.name == "stop":
                return taken
            taken.append(event.data.get("number"))
            journal.use(event)
        if looks:
            yield from journal.step("look")
        mailbox.continue_as_new({"taken": taken})
        return None

    return watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch that continues as new after two events unless told otherwise; replayed when its test has ended."""
    runs = []

    def start(*, events_a_run: int = 2, asks_for: Sequence[str] = ("tick", "tock"), looks: bool = False) -> WorkflowRun:
        look = {"look": lambda _ctx, _step: {RECORDED_AT: START.isoformat()}}
        given = INPUT.model_dump(mode="json")
        runs.append(WorkflowRun(watching(events_a_run, asks_for, looks), given, look, instance_id=CASE.instance_id, start=START))
        return runs[-1]

    yield start
    for run in runs:
        run.check_replay()
        assert run.status != "FAILED", run.failure


def test_what_comes_one_by_one_is_taken_once_and_in_order_over_all_runs(watch: Watch) -> None:
    run = watch()
    for number in range(1, 10):
        run.raise_event(*event(number))
    run.raise_event(*event(10, "stop"))
    assert (run.result, run.runs) == (list(range(1, 10)), 5)


def test_what_earlier_runs_were_given_is_carried_by_the_identities_that_the_ledger_has(watch: Watch) -> None:
    """The reconciler compares them: what is missing here is raised again."""
    run = watch()
    for number in range(1, 4):
        run.raise_event(*event(number))
    assert _input_of(run).seen == [event(number)[1]["identity"] for number in range(1, 3)]
    run.raise_event(*event(4, "stop"))


def test_what_comes_in_the_same_turn_is_the_next_runs(watch: Watch) -> None:
    """Also of a name for which the ended run still waited: that wait would have swallowed it."""
    run = watch()
    run.raise_events(*(event(number, "tick" if number % 2 else "tock") for number in range(1, 10)), event(10, "stop"))
    assert sorted(run.result) == list(range(1, 10))
    assert run.runs > 1


def test_another_names_events_behind_the_one_that_ends_a_run_are_not_lost(watch: Watch) -> None:
    run = watch(events_a_run=1)
    run.raise_events(event(1, "tick"), event(2, "tock"), event(3, "tock"), event(4, "tick"))
    run.raise_event(*event(5, "stop"))
    assert sorted(run.result) == [1, 2, 3, 4]


def test_an_event_that_an_earlier_run_used_is_not_used_again(watch: Watch) -> None:
    run = watch()
    for number in (1, 2, 1, 2, 3, 2, 1, 4):
        run.raise_event(*event(number))
    run.raise_event(*event(5, "stop"))
    assert run.result == [1, 2, 3, 4]


def test_a_raise_past_the_ledger_is_known_by_its_content_in_the_next_run_too(watch: Watch) -> None:
    run = watch(events_a_run=1)
    for _ in range(3):
        run.raise_event("tick", {"number": 7})
    run.raise_event(*event(5, "stop"))
    assert run.result == [7]


def test_what_nobody_asks_for_yet_is_kept_for_a_run_that_does(watch: Watch) -> None:
    run = watch(asks_for=["tick"])
    for one in (event(1, "tock"), event(2), event(1, "tock"), event(3), event(4)):
        run.raise_event(*one)
    assert [kept.seq for kept in _input_of(run).kept] == [1]
    run.raise_event(*event(5, "stop"))
    assert run.result == [2, 3, 4]


def test_each_step_of_each_run_has_its_own_idempotency_key_and_tells_what_was_used_since_the_last(watch: Watch) -> None:
    run = watch(looks=True)
    for number in range(1, 7):
        run.raise_event(*event(number))
    assert [(call.input["iteration"], call.input["used"]) for call in run.calls] == [(0, [1, 2]), (1, [3, 4]), (2, [5, 6])]
    run.raise_event(*event(7, "stop"))


def test_what_no_step_has_recorded_is_carried_to_the_next_run(watch: Watch) -> None:
    run = watch()
    for number in range(1, 4):
        run.raise_event(*event(number))
    carried = _input_of(run)
    assert (carried.used, carried.handled) == ([1, 2], [1, 2])
    assert carried.own == {"taken": [1, 2]}
    run.raise_event(*event(4, "stop"))


def test_only_so_many_identities_of_raises_past_the_ledger_are_carried(watch: Watch) -> None:
    """The ledger has a quota for a case's events; nobody has one for these."""
    run = watch(events_a_run=DIRECT_MAX + 5)
    run.raise_events(*(("tick", {"number": number}) for number in range(DIRECT_MAX + 5)))
    assert (len(_input_of(run).seen_direct), len(_input_of(run).seen)) == (DIRECT_MAX, 0)
    run.raise_event(*event(5, "stop"))


def test_a_timer_of_an_earlier_run_ends_no_wait_of_a_later_one(watch: Watch) -> None:
    run = watch()
    run.raise_events(event(1), event(2))
    run.advance(timedelta(minutes=59))
    run.raise_events(event(3), event(4))
    run.advance(timedelta(minutes=59))
    assert not run.has_ended
    run.advance(timedelta(minutes=1))
    assert run.result == [1, 2, 3, 4]


def test_a_case_that_has_not_continued_carries_nothing_in_its_input() -> None:
    """So workers of before, which know no such field, read it too."""
    assert "carried" not in INPUT.model_dump(mode="json")
    assert '"carried"' not in INPUT.model_dump_json()


def _input_of(run: WorkflowRun) -> Carried:
    """What the latest run got from the one before it."""
    (started,) = [one for one in run.history if one.HasField("executionStarted")]
    return CaseInput.model_validate_json(started.executionStarted.input.value).carried or Carried()


def test_what_is_left_in_a_mailbox_that_nobody_kept_is_refused_when_the_case_ends() -> None:
    def first_tick(journal: Journal) -> Yields:
        mailbox = Mailbox(journal, ["tick", "tock"])
        mailbox.wait_until(journal.now + timedelta(days=1))
        return (yield from mailbox.next(["tick"]))

    def watch(ctx: Any, raw: dict[str, Any]) -> Yields:
        journal = Journal(ctx, CaseInput.model_validate(raw))
        journal.use((yield from first_tick(journal)))
        yield from journal.close(Closing(outcome=Outcome.APPROVED, result="seen"))

    activities = {"close_case": lambda _ctx, _step: {}}
    run = WorkflowRun(watch, INPUT.model_dump(mode="json"), activities, instance_id=CASE.instance_id, start=START)
    run.raise_events(("tock", {"number": 1}), ("tick", {"number": 2}))
    assert run.calls[-1].input["refused"] == [{"seq": None, "reason": "the case ended without using it"}]
