"""What the history of a workflow that has continued as new still tells of its case."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from sayso.contracts.taken_in_turn import custom_status_of
from sayso.contracts.workflow_io import Carried, CaseInput, CaseRef, Plan, RaisedEvent, StepInput
from sayso.engine import HistoryEntry
from sayso_subscribers.account import account_of, identities_in

NOW = datetime(2026, 1, 5, tzinfo=UTC)
CASE = CaseRef(workflow="watch", key="W-1", generation=1, instance_id="case-W-1", opened_at=NOW)


def raised(number: int) -> RaisedEvent:
    identity = hashlib.sha256(str(number).encode()).hexdigest()
    return RaisedEvent(seq=number, identity=identity, name="tick", received_at=NOW, data={"number": number})


KEPT, CAME = raised(2), raised(3)
CARRIED = Carried(seen=[raised(1).identity, KEPT.identity], kept=[KEPT])
GIVEN = CaseInput(case=CASE, request={}, plan=Plan(approval_timeout_seconds=60), carried=CARRIED)
HISTORY = [
    HistoryEntry(NOW, "EXECUTION_STARTED", "watch", GIVEN.model_dump(mode="json")),
    HistoryEntry(NOW, "EVENT_RAISED", "tick", CAME.as_payload()),
]


def test_events_that_earlier_runs_were_given_are_known_and_not_raised_again() -> None:
    assert identities_in(CASE.instance_id, HISTORY) == {raised(number).identity for number in (1, 2, 3)}


def test_events_that_an_earlier_run_has_kept_are_part_of_the_account() -> None:
    account = account_of(HISTORY)
    assert account is not None
    assert account.raised == [KEPT, CAME]


def test_a_step_that_was_taken_within_the_last_turn_is_part_of_the_account() -> None:
    step = StepInput(case=CASE, step="close_case", used=[3])
    status = json.loads(custom_status_of([(step.model_dump_json(), '{"done": 1, "answers_to": "close_case"}')]))
    account = account_of(HISTORY, status)
    assert account is not None
    assert account.steps == [(step, {"done": 1})]
