"""The health check of the containers, asked of real HTTP servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from compose_file import read_compose

from sayso.stack import container_health

READY: dict[str, Any] = {
    "subscriptions": [{"topic": "purchases"}],
    "scheduler": {"connected_addresses": ["scheduler:50006"]},
    "actorRuntime": {"hostReady": True},
    "workflows": {"connectedWorkers": 1},
}


class Sidecar(HTTPServer):
    metadata: dict[str, Any] = READY


class Answer(BaseHTTPRequestHandler):
    server: Sidecar

    def do_GET(self) -> None:
        metadata = self.path == "/v1.0/metadata"
        self.send_response(200 if metadata else 204)
        self.end_headers()
        if metadata:
            self.wfile.write(json.dumps(self.server.metadata).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sidecar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sidecar]:
    with Sidecar(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("DAPR_HTTP_PORT", str(server.server_port))
        yield server
        server.shutdown()
        thread.join(10)


def test_compose_asks_about_processes_that_are_known() -> None:
    asked = [service.get("healthcheck", {}).get("test", []) for service in read_compose()["services"].values()]
    names = {test[-1] for test in asked if "sayso.stack.container_health" in test}
    assert names == {"subscribers", "worker", "partners", "gateway"}


@pytest.mark.parametrize("process", ["subscribers", "worker"])
def test_a_ready_process_is_healthy(process: str, sidecar: Sidecar, capsys: pytest.CaptureFixture[str]) -> None:
    assert container_health.main(process) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("process", "without", "reason"),
    [
        ("subscribers", "subscriptions", "waits for the app's subscriptions"),
        ("subscribers", "scheduler", "waits for the scheduler"),
        ("worker", "workflows", "waits for its connection to daprd"),
    ],
)
def test_a_process_that_lacks_something_says_what(
    process: str, without: str, reason: str, sidecar: Sidecar, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar.metadata = {name: value for name, value in READY.items() if name != without}
    assert container_health.main(process) == 1
    assert capsys.readouterr().err == f"{process}: {reason}\n"


def test_without_a_sidecar_it_is_unhealthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DAPR_HTTP_PORT", "1")
    assert container_health.main("worker") == 1
    assert "does not listen yet" in capsys.readouterr().err
