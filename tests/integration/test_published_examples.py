"""Every file of examples/events, published with `sayso publish` on the real stack, does what its README says.

Many of them are about the same case, which can go one way only. So there are several roads, each on a stack of its own: the files in
the order in which they are published, each with the state in which its event comes to rest, and how the cases end.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running_system import RunningSystem
from stack_pairs import Pair, name_of, system_on
from waiting import eventually

from sayso.cli.main import main
from sayso.testing.stack import PROJECT

pytestmark = pytest.mark.stack
EVENTS = PROJECT / "examples/events"
TOPICS = {"purchase-unknown-type.json": ("--topic", "purchases")}
"""No binding says where a type belongs that nobody knows."""
SIGNED = ("decision-", "approval-", "own-event/expense-decided")
UNSIGNED = ("decision-for-two-cases.json",)
"""Of the signed types: nobody knows which case it is about, so there is nothing to sign."""
REQUESTS = {"decision-task-approve.json": "task-requested.json"}
"""What is decided before its case comes, and the file of its request."""
SECONDS = 60.0
USUAL_PARTNERS = "http://127.0.0.1:8090"
"""Where monitors look at the partner service in the examples; a stack of a test has it elsewhere."""


@dataclass(frozen=True)
class Road:
    """`files`: file → the state of its event once it rests; `ends`: key → outcome and result."""

    pair: Pair
    files: dict[str, str]
    ends: dict[str, tuple[str, Any]]


TO_THE_END = Road(
    ("valkey", "sqlite"),
    {
        # A purchase that is approved and paid, with everything on its way that does not count.
        "purchase-requested.json": "started",
        "approval-delegated.json": "refused",  # nobody is asked by name: anyone may decide
        "decision-own-request.json": "refused",
        "decision-approve.json": "consumed",
        "decision-reject.json": "refused",
        "payment-wrong-amount.json": "refused",
        "payment-wrong-currency.json": "refused",
        "payment-captured.json": "consumed",
        "payment-failed.json": "late",
        "decision-approver-only.json": "late",
        "purchase-withdrawn.json": "late",
        "purchase-below-threshold.json": "started",
        # A request, a task, an escalation.
        "request-submitted.json": "started",
        "decision-approved-only.json": "rejected",
        "request-amended.json": "consumed",
        "decision-request-approve.json": "consumed",
        "decision-request-reject.json": "late",
        "decision-by-workflow-and-key.json": "late",
        "request-below-threshold.json": "started",
        "decision-task-approve.json": "held",  # it waits for its case
        "task-requested.json": "started",
        "task-low-priority.json": "started",
        "escalation-requested.json": "started",
        "decision-escalation-approve.json": "consumed",
        "decision-escalation-reject.json": "late",
        "escalation-below-threshold.json": "started",
        # Sagas; the first order has been paid already.
        "order-payment-captured.json": "held",
        "order-placed.json": "started",
        "order-payment-failed.json": "late",
        "order-placed-large.json": "started",
        "decision-order-approve.json": "consumed",
        "task-submitted.json": "started",
        "trip-requested.json": "started",
        # Bulk work.
        "batch-submitted.json": "started",
        "batch-collect.json": "started",
        "task-chain-submitted.json": "started",
        "task-chain-too-large.json": "started",
        # Monitors; the job that is looked at has ended.
        "health-monitor-started.json": "started",
        "health-monitor-paused.json": "consumed",
        "health-monitor-changed.json": "consumed",
        "health-monitor-resumed.json": "consumed",
        "health-monitor-stopped.json": "consumed",
        "status-monitor-started.json": "started",
        "status-monitor-changed.json": "consumed",
        "status-monitor-paused.json": "consumed",
        "status-monitor-resumed.json": "consumed",
        "status-monitor-stopped.json": "consumed",
        "job-monitor-started.json": "started",
        "job-monitor-changed.json": "late",
        "job-monitor-paused.json": "late",
        "job-monitor-resumed.json": "late",
        "job-monitor-stopped.json": "late",
        # What has no case.
        "payment-authorized.json": "recorded",
        "decision-for-two-cases.json": "unmatched",
        "purchase-unknown-type.json": "unmatched",
        "purchase-without-key.json": "rejected",
        "purchase-wrong-field-type.json": "rejected",
        "escalation-without-amount.json": "rejected",
        # A type of one's own.
        "own-event/expense-submitted.json": "started",
        "own-event/expense-ruled.json": "consumed",
        "own-event/expense-decided.json": "late",
    },
    {
        "PO-1001": ("completed", "Approved by 'alice'"),
        "PO-1002": ("auto_approved", "Auto-approved"),
        "R-2001": ("approved", {"status": "approved", "request_id": "R-2001", "approver": "alice"}),
        "R-2002": ("auto_approved", {"status": "auto_approved", "request_id": "R-2002", "reason": "Amount below approval threshold"}),
        "T-3001": ("approved", {"status": "approved", "task_id": "T-3001", "approver": "alice"}),
        "T-3002": ("auto_approved", {"status": "auto_approved", "task_id": "T-3002", "reason": "Low priority"}),
        "E-4001": ("approved", {"status": "approved", "request_id": "E-4001", "approver": "alice"}),
        "E-4002": ("auto_approved", {"status": "auto_approved", "request_id": "E-4002"}),
        "O-5001": ("completed", {"status": "success", "order_id": "O-5001"}),
        "O-5002": ("completed", {"status": "success", "order_id": "O-5002"}),
        "T-4001": ("completed", {"status": "success", "task_id": "T-4001", "error": None}),
        "TR-6001": ("completed", {}),
        "B-5001": ("completed", {"total": 10100, "processed": 100, "failed": 0}),
        "B-5002": ("completed", {"processed": 5, "failed": 5}),
        "C-6001": ("completed", [11, 22, 20]),
        "C-6002": ("failed", [9007199254740991]),
        "expense-77": ("approved", {"status": "approved", "request_id": "expense-77", "approver": "alice"}),
        "partners": ("completed", {"status": "stopped", "job_id": "partners"}),
        "print-queue": ("completed", {"status": "stopped", "job_id": "print-queue"}),
        "nightly-report": ("completed", {"status": "completed", "job_id": "nightly-report"}),
    },
)
TO_ANOTHER_END = Road(
    ("kafka", "postgresql"),
    {
        "purchase-requested.json": "started",
        "decision-approver-only.json": "consumed",
        "payment-failed.json": "consumed",
        "payment-captured.json": "late",  # it is given back
        "request-submitted.json": "started",
        "decision-request-reject.json": "consumed",
        "escalation-requested.json": "started",
        "decision-escalation-reject.json": "consumed",
        "order-payment-failed.json": "held",
        "order-placed.json": "started",
    },
    {
        "PO-1001": ("payment_failed", "Cancelled"),
        "R-2001": ("rejected", {"status": "rejected", "request_id": "R-2001", "approver": "bob"}),
        "E-4001": ("rejected", {"status": "rejected", "request_id": "E-4001", "approver": "bob"}),
        "O-5001": ("compensated", {"status": "failed", "order_id": "O-5001"}),
    },
)
NOT_FAR = Road(
    ("valkey", "sqlite"),
    {
        "purchase-withdrawn.json": "held",
        "purchase-requested.json": "started",
        "decision-approve.json": "late",
        "request-submitted.json": "started",
        "decision-by-workflow-and-key.json": "consumed",
        "own-event/expense-submitted.json": "started",
        "own-event/expense-decided.json": "consumed",
    },
    {
        "PO-1001": ("withdrawn", "Cancelled"),
        "R-2001": ("approved", {"approver": "alice"}),
        "expense-77": ("approved", {"approver": "alice"}),
    },
)
TAKEN_BACK = Road(
    ("valkey", "sqlite"),
    {
        "purchase-requested.json": "started",
        "purchase-amended.json": "consumed",
        "decision-reject.json": "consumed",
        "decision-approve.json": "late",
        # What is taken back.
        "request-submitted.json": "started",
        "request-withdrawn.json": "consumed",
        "task-requested.json": "started",
        "task-amended.json": "consumed",
        "task-withdrawn.json": "consumed",
        "escalation-requested.json": "started",
        "escalation-withdrawn.json": "consumed",
        "order-placed-large.json": "started",
        "order-withdrawn.json": "consumed",
    },
    {
        "PO-1001": ("rejected", "Rejected by 'bob'"),
        "R-2001": ("withdrawn", {"status": "withdrawn", "request_id": "R-2001", "reason": "the conference is cancelled"}),
        "T-3001": ("withdrawn", {"status": "withdrawn", "task_id": "T-3001"}),
        "E-4001": ("withdrawn", {"status": "withdrawn", "request_id": "E-4001"}),
        "O-5002": ("withdrawn", {"status": "withdrawn", "order_id": "O-5002"}),
    },
)
ROADS = {"to the end": TO_THE_END, "to another end": TO_ANOTHER_END, "not far": NOT_FAR, "taken back": TAKEN_BACK}


def test_every_file_is_on_a_road() -> None:
    travelled = {file for road in ROADS.values() for file in road.files}
    assert {path.relative_to(EVENTS).as_posix() for path in EVENTS.rglob("*.json")} == travelled


@pytest.mark.parametrize("road", ROADS.values(), ids=[f"{name} on {name_of(road.pair)}" for name, road in ROADS.items()])
def test_a_road_ends_where_it_should(road: Road, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = with_own_event(tmp_path)
    with system_on(road.pair, tmp_path_factory, SAYSO_CONFIG_DIR=str(folder)) as system:
        for file, state in road.files.items():
            event_id = publish(system, folder, file)
            rests_as(system, event_id, state, file)
        told = {key: outcome_of(system, key) for key in road.ends}
        again = publish(system, folder, "purchase-requested.json")
        eventually(lambda: system.row(again).sightings == 2, SECONDS, "a file that is published again is a sighting")
    assert {key: one["outcome"] for key, one in told.items()} == {key: outcome for key, (outcome, _) in road.ends.items()}
    for key, (_, result) in road.ends.items():
        said = told[key]["result"]
        assert said == result or (isinstance(said, dict) and said == said | result), (key, said)


def with_own_event(tmp_path: Path) -> Path:
    """The shipped configuration with the example's own bindings appended, as their first line says."""
    folder = tmp_path / "config"
    shutil.copytree(PROJECT / "config", folder)
    with (folder / "bindings.yaml").open("a", encoding="utf-8") as bindings:
        bindings.write((EVENTS / "own-event/bindings.yaml").read_text(encoding="utf-8"))
    return folder


def publish(system: RunningSystem, folder: Path, file: str) -> str:
    """`sayso publish FILE`, in this process, because there are many; gives the event's id."""
    here_and_now = folder / Path(file).name
    here_and_now.write_text((EVENTS / file).read_text("utf-8").replace(USUAL_PARTNERS, system.state.partners_url), "utf-8")
    command = ["publish", str(here_and_now), "--json", *TOPICS.get(file, ()), *signature(file)]
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as here, contextlib.redirect_stdout(printed):
        for name in [name for name in os.environ if name.startswith(("SAYSO_", "DAPR_"))]:
            here.delenv(name)
        here.setenv("SAYSO_STATE_DIR", str(system.state.state_dir))
        here.setenv("SAYSO_CONFIG_DIR", str(folder))
        with pytest.raises(SystemExit) as ended:
            main(command)
    assert not ended.value.code, file
    (published,) = json.loads(printed.getvalue())
    return str(published["id"])


def signature(file: str) -> list[str]:
    """The options that sign it, if it is a decision."""
    if not file.startswith(SIGNED) or file in UNSIGNED:
        return []
    return ["--sign", "demo", *(["--about", str(EVENTS / REQUESTS[file])] if file in REQUESTS else [])]


def rests_as(system: RunningSystem, event_id: str, state: str, file: str) -> None:
    """What it caused has ended too, as far as it can: the next file must not overtake it."""

    def rests() -> bool:
        rows = system.rows(event_id)
        if [row.state for row in rows] != [state]:
            return False
        instance = rows[0].instance_id
        case = next((each for each in system.cases(rows[0].key) if each.instance_id == instance), None) if instance else None
        return case is None or case.phase == "closed" or (case.stage or "").startswith(("waits for", "has made", "paused"))

    try:
        eventually(rests, SECONDS, f"{file} is {state}")
    except AssertionError as error:
        seen = [(row.state, row.reason) for row in system.rows(event_id)]
        raise AssertionError(f"{error}; it is {seen}") from None


def outcome_of(system: RunningSystem, key: str) -> dict[str, Any]:
    """What the topic says of this case."""
    eventually(lambda: system.messages_about("outcomes", key), SECONDS, f"an outcome of {key}")
    found: dict[str, Any] = system.outcome(key)["data"]
    return found
