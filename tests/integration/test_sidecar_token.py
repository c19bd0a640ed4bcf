"""A sidecar with a token of its own (`DAPR_API_TOKEN`): Sayso works as without, and nobody else gets a word out of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import grpc
import httpx2
import pytest
from dapr.proto.runtime.v1.dapr_pb2_grpc import DaprStub
from dapr.proto.runtime.v1.pubsub_pb2 import PublishEventRequest
from running_system import RunningSystem
from shop_events import decision, fresh, payment, purchase

from sayso.testing.stack import running_stack

TOKEN = "a-token-that-only-this-stack-knows"


def test_a_direct_call_on_the_sidecars_port_needs_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPR_API_TOKEN", TOKEN)
    with running_stack(tmp_path / "stack") as stack:
        stack.wait_ready()
        with closing(RunningSystem(stack)) as system:
            order = fresh("PO")
            system.send(purchase(order))
            instance = system.waiting_for("approval", order).instance_id
            calls = {
                "raise": f"workflows/dapr/{instance}/raiseEvent/approval_received",
                "terminate": f"workflows/dapr/{instance}/terminate",
                "publish": "publish/pubsub/approvals",
                "metadata": "metadata",
            }
            for name, path in calls.items():
                url = f"http://127.0.0.1:{system.state.dapr_http_port}/v1.0/{path}"
                for headers in ({}, {"dapr-api-token": "another"}):
                    answer = httpx2.post(url, json={"approved": True}, headers=headers, trust_env=False, timeout=10)
                    assert answer.status_code == 401, f"{name}: {answer.status_code} {answer.text}"
            with grpc.insecure_channel(f"127.0.0.1:{system.state.dapr_grpc_port}") as channel:
                message = PublishEventRequest(pubsub_name="pubsub", topic="approvals", data=b"{}")
                with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                    DaprStub(channel).PublishEvent(message)
            assert system.waiting_for("approval", order).instance_id == instance
            system.send(decision(order_id=order))
            system.waiting_for("payment", order)
            system.send(payment(order))
            assert system.closed(order).outcome == "completed"
