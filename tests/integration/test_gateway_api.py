"""The gateway's API on the real stack, with curl: ask, poll, decide, read what became of it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import grpc
import httpx2
import pytest
from dapr.proto.runtime.v1.dapr_pb2_grpc import DaprStub
from dapr.proto.runtime.v1.pubsub_pb2 import PublishEventRequest
from running_system import RunningSystem
from shop_events import fresh
from waiting import eventually

pytestmark = pytest.mark.stack

SECONDS = 40.0
DAPRS_KEYS = {"instanceID", "workflowName", "createdAt", "lastUpdatedAt", "runtimeStatus", "properties"}


class Answer:
    """What curl showed."""

    def __init__(self, output: str) -> None:
        head, _, self.body = output.partition("\n\n")
        lines = head.splitlines()
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Curl:
    """`curl` at the gateway."""

    def __init__(self, system: RunningSystem) -> None:
        self._url = system.state.gateway_url

    def __call__(self, path: str, body: Any = None, *, by: str | None = "alice", **headers: str) -> Answer:
        """GET, or POST a JSON body; logged in by the development login."""
        words = ["curl", "-s", "-i", "--noproxy", "*", self._url + path]
        words += ["-u", f"{by}:"] if by else []
        if body is not None:
            words += ["-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
        words += [word for name, value in headers.items() for word in ("-H", f"{name.replace('_', '-')}: {value}")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
        return Answer(done.stdout.replace("\r", ""))


@pytest.fixture
def curl(system: RunningSystem) -> Curl:
    return Curl(system)


def asked(curl: Curl, request: str, amount: int = 2500, **headers: str) -> Answer:
    data = {"request_id": request, "amount": amount, "description": "Conference"}
    return curl("/requests", {"data": data}, **headers)


def test_a_request_is_asked_for_polled_and_approved(system: RunningSystem, curl: Curl) -> None:
    request = fresh("req")
    answer = asked(curl, request)
    assert (answer.status, answer.headers["retry-after"]) == (202, "1")
    accepted = answer.json
    instance = accepted["instanceID"]
    assert answer.headers["location"] == f"/status/{instance}"
    assert curl(f"/status/{instance}").status in (200, 202), "never 404 for what was accepted"
    assert curl(accepted["receipt"]).status in (200, 202)
    running = eventually(lambda: waits(curl, instance), SECONDS, "it waits for its decision")
    assert running.keys() == DAPRS_KEYS
    assert json.loads(running["properties"]["dapr.workflow.input"])["request"]["requester"] == "alice"
    decided = curl(f"/approve/{instance}", {"approved": True, "approver": "bob", "reason": "good"}, by="bob")
    assert (decided.status, decided.json) == (200, {"status": "event_raised", "instance_id": instance})
    ended = eventually(lambda: ended_of(curl, instance), SECONDS, "it has ended")
    assert ended["runtimeStatus"] == "COMPLETED"
    result = json.loads(ended["properties"]["dapr.workflow.output"])
    assert result == {"status": "approved", "request_id": request, "approver": "bob"}
    receipt = curl(decided.headers["location"], by="bob").json
    assert (receipt["state"], receipt["case"]) == ("consumed", instance)
    assert system.case(request, "approval_workflow") is not None
    followed = curl(f"/requests/{request}")
    assert (followed.status, followed.json["outcome"]) == (200, "approved")


def waits(curl: Curl, instance: str) -> dict[str, Any] | None:
    answer = curl(f"/status/{instance}")
    assert answer.status in (200, 202)
    found: dict[str, Any] = answer.json
    return found if found["properties"].get("dapr.workflow.custom_status") == '"waits for approval"' else None


def ended_of(curl: Curl, instance: str) -> dict[str, Any] | None:
    found: dict[str, Any] = curl(f"/status/{instance}").json
    return found if found["runtimeStatus"] in ("COMPLETED", "FAILED", "TERMINATED") else None


def test_the_same_request_twice_is_one_case_and_another_one_under_its_key_is_refused(system: RunningSystem, curl: Curl) -> None:
    request = fresh("req")
    first = asked(curl, request, Idempotency_Key=request)
    again = asked(curl, request, Idempotency_Key=request)
    assert (first.status, again.status) == (202, 202)
    assert first.json == again.json
    eventually(lambda: system.case(request, "approval_workflow"), SECONDS, "its case is open")
    assert asked(curl, request, Idempotency_Key=request).json == first.json
    assert asked(curl, request, amount=9, Idempotency_Key=request).status == 409
    assert asked(curl, request).status == 409, "its case is open"
    assert len(system.rows(first.json["event_id"])) == 1


def test_nobody_asks_or_decides_in_anothers_name(system: RunningSystem, curl: Curl) -> None:
    request = fresh("req")
    assert curl("/requests", {"data": {"request_id": request, "amount": 2500, "requester": "carol"}}).status == 403
    instance = asked(curl, request).json["instanceID"]
    eventually(lambda: waits(curl, instance), SECONDS, "it waits for its decision")
    assert curl(f"/approve/{instance}", {"approved": True, "approver": "carol"}, by="bob").status == 403
    assert curl(f"/approve/{instance}", {"approved": True, "status": "approved"}, by="bob").status == 422
    assert curl(f"/approve/{instance}", {"approved": True}).status == 403, "alice is in no group that is asked"
    assert curl(f"/approve/{instance}", {"approved": True}, by=None).status == 401
    assert curl(f"/approve/{instance}0", {"approved": True}, by="bob").status == 404
    assert curl(f"/status/{instance}", by="bob").status == 200
    case = system.case(request, "approval_workflow")
    assert case is not None
    assert case.phase == "running"
    assert not [row for row in system.rows_of_case(request, "approval_workflow") if row.topic == "approvals"]


def test_who_asked_does_not_decide_whichever_way(system: RunningSystem, curl: Curl) -> None:
    request = fresh("req")
    data = {"data": {"request_id": request, "amount": 2500}}
    instance = curl("/requests", data, by="bob").json["instanceID"]
    eventually(lambda: system.case(request, "approval_workflow"), SECONDS, "its case is open")
    ways = [
        curl(f"/approve/{instance}", {"approved": True}, by="bob").headers["location"],
        curl(f"/tasks/{instance}/decisions", {"approved": True}, by="bob").json["receipt"],
        curl("/decisions:batch", {"decisions": [{"task": instance, "approved": True}]}, by="bob").json["results"][0]["receipt"],
    ]
    for receipt in ways:
        refused = eventually(lambda receipt=receipt: came_to_rest(curl, receipt), SECONDS, "it was judged")  # type: ignore[misc]
        assert refused["state"] == "refused"
        assert "requester" in refused["reason"]
    case = system.case(request, "approval_workflow")
    assert case is not None
    assert case.phase == "running"


def came_to_rest(curl: Curl, receipt: str) -> dict[str, Any] | None:
    found: dict[str, Any] = curl(receipt, by="bob").json
    return found if found["state"] not in ("accepted", "received", "delivering", "delivered") else None


def test_who_has_only_asked_sees_and_decides_nobody_elses_case(system: RunningSystem, curl: Curl) -> None:
    request = fresh("req")
    instance = curl("/requests", {"data": {"request_id": request, "amount": 2500}}, by="carol").json["instanceID"]
    eventually(lambda: system.case(request, "approval_workflow"), SECONDS, "its case is open")
    for path in (f"/status/{instance}", f"/cases/{instance}", f"/requests/{request}"):
        assert curl(path).status == 404
        assert curl(path, by="carol").status in (200, 202)
    for path in ("/tasks", "/cases", "/events", "/deadletters"):
        assert curl(path).status == 403
    assert curl(f"/tasks/{instance}/decisions", {"approved": True}).status == 403


def test_the_gateways_sidecar_answers_nobody_without_its_token_and_can_only_publish(system: RunningSystem) -> None:
    port = system.stack.process("daprd-gateway").address.rpartition(" ")[2]
    words = next(process for name, process in system.stack.processes().items() if name == "gateway").environ()
    token = words["DAPR_API_TOKEN"]
    order = fresh("PO")
    instance = system.open_purchase(order).instance_id
    calls = {
        "raise": f"http://127.0.0.1:{port}/v1.0/workflows/dapr/{instance}/raiseEvent/approval_received",
        "terminate": f"http://127.0.0.1:{port}/v1.0/workflows/dapr/{instance}/terminate",
        "publish": f"http://127.0.0.1:{port}/v1.0/publish/pubsub/approvals",
        "invoke": f"http://127.0.0.1:{port}/v1.0/invoke/sayso/method/x",
        "metadata": f"http://127.0.0.1:{port}/v1.0/metadata",
    }
    for name, url in calls.items():
        body = {"approved": True, "approver": "bob"}
        assert httpx2.post(url, json=body, trust_env=False, timeout=10).status_code == 401, name
        known = httpx2.post(url, json=body, headers={"dapr-api-token": token}, trust_env=False, timeout=10)
        assert known.status_code in (404, 405), f"{name}: {known.status_code} {known.text}"
    with grpc.insecure_channel(f"127.0.0.1:{words['DAPR_GRPC_PORT']}") as channel:
        stub = DaprStub(channel)
        for topic in ("outcomes", "deadletters", "payment-commands", "alerts", "nothing"):
            message = PublishEventRequest(pubsub_name="pubsub", topic=topic, data=b"{}")
            with pytest.raises(grpc.RpcError, match="is not allowed for app id sayso-gateway"):
                stub.PublishEvent(message, metadata=[("dapr-api-token", token)])
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                stub.PublishEvent(message)
    assert system.waiting_for("approval", order).instance_id == instance


def test_tasks_are_listed_and_decided_together_each_with_its_own_result(system: RunningSystem, curl: Curl) -> None:
    instances = [asked(curl, fresh("req")).json["instanceID"] for _ in range(3)]
    for instance in instances:
        eventually(lambda instance=instance: waits(curl, instance), SECONDS, "it waits")  # type: ignore[misc]
    seen: list[str] = []
    page = curl("/tasks?limit=2", by="bob").json
    while True:
        seen += [task["id"] for task in page["tasks"]]
        if page["next"] is None:
            break
        page = curl(f"/tasks?limit=2&cursor={page['next']}", by="bob").json
    assert len(seen) == len(set(seen))
    assert set(instances) <= set(seen)
    decisions = [{"task": instance, "approved": False, "reason": "no"} for instance in instances] + [{"task": "x", "approved": True}]
    answer = curl("/decisions:batch", {"decisions": decisions}, by="bob")
    assert [result["status"] for result in answer.json["results"]] == [202, 202, 202, 404]
    for instance in instances:
        ended = eventually(lambda instance=instance: ended_of(curl, instance), SECONDS, "it has ended")  # type: ignore[misc]
        assert json.loads(ended["properties"]["dapr.workflow.output"])["status"] == "rejected"


def test_events_come_in_over_http_in_every_mode(system: RunningSystem, curl: Curl) -> None:
    orders = [fresh("PO") for _ in range(4)]

    def event(order: str) -> dict[str, Any]:
        data = {"order_id": order, "cost": 1250.10, "product": "laptop", "quantity": 1, "requester": "alice"}
        return {"specversion": "1.0", "id": order, "source": "/shop", "type": "com.acme.purchase.requested.v1", "data": data}

    one = curl("/events", event(orders[0]), by="bob", Content_Type="application/cloudevents+json")
    assert one.status == 400, "two content types"
    sent = [
        post(curl, event(orders[0]), "application/cloudevents+json"),
        post(curl, [event(order) for order in orders[1:3]], "application/cloudevents-batch+json"),
        post(
            curl,
            event(orders[3])["data"],
            "application/json",
            **{f"ce-{name}": value for name, value in event(orders[3]).items() if name != "data"},
        ),
    ]
    assert [answer.status for answer in sent] == [202, 202, 202], [answer.body for answer in sent]
    for order in orders:
        assert system.waiting_for("approval", order).key == order
    receipt = curl(sent[0].json["accepted"][0]["receipt"], by="bob")
    assert (receipt.status, receipt.json["state"]) == (200, "started")
    assert curl("/events?topic=purchases&limit=1", by="bob").json["events"][0]["topic"] == "purchases"
    assert curl("/events", by="alice").status == 403
    decision = {
        **event("x"),
        "type": "sayso.approval.decided.v1",
        "data": {"order_id": orders[0], "approved": True, "approver": "carol"},
    }
    assert post(curl, decision, "application/cloudevents+json").status == 403
    assert curl("/deadletters?limit=1", by="carol").status == 200


def post(curl: Curl, body: Any, kind: str, **headers: str) -> Answer:
    words = [
        "curl",
        "-s",
        "-i",
        "--noproxy",
        "*",
        "-u",
        "bob:",
        "-H",
        f"content-type: {kind}",
        "-d",
        json.dumps(body),
        curl._url + "/events",
    ]
    words += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    return Answer(subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout.replace("\r", ""))
