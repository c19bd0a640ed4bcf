"""OrderProcessingWorkflow of seed 003 as an extension on the real stack, with the document's own calls to daprd."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from own_stack import Shell, shell_of
from waiting import eventually

from sayso.testing.stack import PROJECT

pytestmark = pytest.mark.stack
SECONDS = 60.0
EXAMPLE = PROJECT / "examples/order_processing"


def typed(beginning: str) -> str:
    """The line of the README that begins so."""
    (line,) = re.findall(rf"^ {{4}}({re.escape(beginning)}.*)$", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return str(line)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_of(tmp_path_factory.mktemp("order_processing") / "state", typed("export ")) as running:
        running.must(typed("sayso up"))
        yield running


def here(shell: Shell, call: str) -> str:
    """The call, to the port that the sidecar has here, without the progress that curl shows on a pipe."""
    return call.replace("localhost:3500", f"127.0.0.1:{shell.state.dapr_http_port}").replace("curl", "curl -sS", 1)


def status(shell: Shell, instance_id: str) -> dict[str, Any]:
    asked = here(shell, typed("curl http")).replace("12345678", instance_id)
    answer = shell.type(asked).stdout
    found: dict[str, Any] = json.loads(answer) if answer.startswith("{") else {}
    return found


def ended(shell: Shell, instance_id: str) -> dict[str, Any]:
    eventually(lambda: status(shell, instance_id).get("runtimeStatus") == "COMPLETED", SECONDS, f"{instance_id} COMPLETED")
    return status(shell, instance_id)


def test_the_calls_of_the_document_do_what_it_says(shell: Shell) -> None:
    answer = shell.must(here(shell, typed("curl -X POST")))
    assert json.loads(answer) == {"instanceID": "12345678"}
    seen = ended(shell, "12345678")
    assert seen.keys() == {"instanceID", "workflowName", "createdAt", "lastUpdatedAt", "runtimeStatus", "properties"}
    assert (seen["instanceID"], seen["workflowName"]) == ("12345678", "OrderProcessingWorkflow")
    assert json.loads(seen["properties"]["dapr.workflow.input"]) == {"Name": "Paperclips", "Quantity": 1, "TotalCost": 9.95}
    assert json.loads(seen["properties"]["dapr.workflow.output"]) == {"Processed": True}
    assert json.loads(shell.must("sayso case 12345678 --json"))["status"] == "auto_approved"
    assert json.loads(shell.must("sayso workflow status 12345678 --json"))["workflowName"] == "OrderProcessingWorkflow"


@pytest.mark.parametrize("approved", [True, False])
def test_a_manager_decides_through_daprs_own_api(shell: Shell, approved: bool) -> None:
    """`/v1.0/` is what `/v1.0-beta1/` of the document has become; the Dapr CLI encodes its `--input` a second time."""
    instance_id = f"order-{approved}"
    start = here(shell, typed("curl -X POST")).replace("v1.0-beta1", "v1.0").replace("12345678", instance_id).replace("9.95", "1500")
    shell.must(start)
    eventually(lambda: "waits for approval" in shell.type(f"sayso case {instance_id}").stdout, SECONDS, "it waits")
    assert f"raise-event {instance_id}/ManagerApproval --app-id sayso --input" in shell.must(f"sayso case {instance_id}")
    payload = json.dumps(json.dumps({"approved": approved, "approver": "bob"}))
    url = f"http://localhost:3500/v1.0/workflows/dapr/{instance_id}/raiseEvent/ManagerApproval"
    shell.must(here(shell, f"curl -X POST {url} -d '{payload}'"))
    assert json.loads(ended(shell, instance_id)["properties"]["dapr.workflow.output"]) == {"Processed": approved}


def test_the_same_order_as_an_event_and_a_decision_on_topics(shell: Shell) -> None:
    shell.must("sayso publish examples/order_processing/events/order-requested.json")
    shell.must("sayso decide OP-1 approve --as bob --workflow OrderProcessingWorkflow", "sayso workflow status OP-1 --wait")
    assert json.loads(shell.must("sayso case OP-1 --json"))["status"] == "approved"
