"""What Dapr 1.18 and its SDK 1.19 do with code that changes while workflows run: our rule for versions stands on it.

The app behind this sidecar is `versions_app/app.py`: nothing of Sayso runs in it. docs/workflow-versions.md is the rule.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dapr.ext.workflow import DaprWorkflowClient
from shop_events import fresh
from waiting import eventually

from sayso.engine import DaprEngine
from sayso.errors import TransientError
from sayso.stack.app_processes import no_proxy
from sayso.testing.stack import StackHandle, running_stack

pytestmark = pytest.mark.stack
VERSIONS_APP = Path(__file__).parent / "versions_app"
SECONDS = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Deployment:
    """The sidecar's workflow API, and which code runs behind it."""

    def __init__(self, stack: StackHandle) -> None:
        self._stack = stack
        self._deployments = 0
        self._client = DaprWorkflowClient(host="127.0.0.1", port=str(stack.state.dapr_grpc_port))
        self.engine = DaprEngine(timedelta(seconds=10), "127.0.0.1", stack.state.dapr_grpc_port)

    def deploy(self, what: str) -> None:
        """Stop the worker and start it with other code."""
        self._deployments += 1
        order, state_dir = f"{self._deployments}:{what}", self._stack.state.state_dir
        (state_dir / "deployed.txt").write_text(order, "ascii")
        self._stack.processes()["sayso"].send_signal(signal.SIGHUP)
        running = state_dir / "running.txt"
        eventually(lambda: running.read_text("ascii") == order, SECONDS, f"{order} runs")

    def start(self, workflow: str) -> str:
        """Start an instance; gives its id once it waits for `go`."""
        instance_id = fresh(workflow)
        self._client.schedule_new_workflow(workflow, instance_id=instance_id)
        eventually(lambda: "TIMER_CREATED" in self.kinds(instance_id), SECONDS, f"{instance_id} waits")
        return instance_id

    def begin(self, workflow: str) -> str:
        """Start an instance; gives its id at once."""
        instance_id = fresh(workflow)
        eventually(lambda: self._scheduled(workflow, instance_id), SECONDS, f"{instance_id} is scheduled")
        return instance_id

    def _scheduled(self, workflow: str, instance_id: str) -> bool:
        try:
            self._client.schedule_new_workflow(workflow, instance_id=instance_id)
        except grpc.RpcError as error:  # a worker comes or goes; or it was scheduled by the call whose answer was lost
            return "already exists" in (error.details() or "")
        return True

    @contextmanager
    def beside(self, what: str, folder: Path) -> Iterator[None]:
        """A second worker with other code on the same sidecar."""
        (folder / "deployed.txt").write_text(f"0:{what}", "ascii")
        state = self._stack.state
        ports = {
            "DAPR_GRPC_PORT": str(state.dapr_grpc_port),
            "DAPR_HTTP_PORT": str(state.dapr_http_port),
            "APP_PORT": str(free_port()),
        }
        environment = {**os.environ, **no_proxy(), **ports, "SAYSO_STATE_DIR": str(folder)}
        worker = subprocess.Popen([sys.executable, "app.py"], cwd=VERSIONS_APP, env=environment)
        try:
            eventually((folder / "running.txt").exists, SECONDS, f"a worker with {what} runs")
            yield
        finally:
            worker.kill()
            worker.wait(SECONDS)

    def pushed_to_its_end(self, instance_id: str) -> Any:
        """Its output; the next event finds whether it was stalled."""

        def ended() -> bool:
            if self.status(instance_id) in ("RUNNING", "STALLED"):
                self.go(instance_id)
            return self.status(instance_id) == "COMPLETED"

        eventually(ended, SECONDS, f"{instance_id} COMPLETED; {self.status(instance_id)}")
        return self.reaches(instance_id, "COMPLETED")

    def go(self, instance_id: str) -> None:
        refused = []

        def raised() -> bool:
            try:
                self._client.raise_workflow_event(instance_id, "go", data={"go": True})
            except grpc.RpcError as error:  # the worker is just being connected
                refused.append(error.details())
                return False
            return True

        try:
            eventually(raised, SECONDS, f"go for {instance_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {refused[-1]}; {self.status(instance_id)}") from error

    def status(self, instance_id: str) -> str | None:
        try:
            state = self.engine.state(instance_id)
        except TransientError:
            return None
        return state.status if state is not None else None

    def reaches(self, instance_id: str, status: str) -> Any:
        """Its output, or why it failed, once it is in this status."""
        eventually(lambda: self.status(instance_id) == status, SECONDS, f"{instance_id} {status}; {self.status(instance_id)}")
        state = self.engine.state(instance_id)
        assert state is not None
        return state.failure or state.output

    def kinds(self, instance_id: str) -> list[str]:
        try:
            return [entry.kind for entry in self.engine.history(instance_id)]
        except TransientError:
            return []


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with running_stack(tmp_path_factory.mktemp("versions"), project=VERSIONS_APP) as stack:
        yield Deployment(stack)


def test_code_that_changes_without_a_word_fails_what_is_in_flight(deployment: Deployment) -> None:
    """So the recorded histories are replayed before anybody deploys."""
    deployment.deploy("first")
    before = deployment.start("plain")
    deployment.deploy("changed")
    deployment.go(before)
    assert "history mismatch" in deployment.reaches(before, "FAILED")


def test_is_patched_lets_what_is_in_flight_go_the_old_way_and_what_is_new_the_new_way(deployment: Deployment) -> None:
    deployment.deploy("first")
    before = deployment.start("plain")
    deployment.deploy("patched")
    after = deployment.start("plain")
    deployment.deploy("patched")  # another worker finds the patch in the history
    deployment.go(before)
    deployment.go(after)
    assert deployment.reaches(before, "COMPLETED") == "AB"
    assert deployment.reaches(after, "COMPLETED") == "XAB"


def test_a_version_keeps_what_was_started_with_it(deployment: Deployment) -> None:
    deployment.deploy("version 1")
    before = deployment.start("numbered")
    deployment.deploy("versions 1 and 2")
    after = deployment.start("numbered")
    deployment.go(before)
    deployment.go(after)
    assert deployment.reaches(before, "COMPLETED") == "AB"
    assert deployment.reaches(after, "COMPLETED") == "XAB"


def test_a_missing_version_stalls_an_instance_until_it_is_there_again(deployment: Deployment) -> None:
    deployment.deploy("version 1")
    before = deployment.start("numbered")
    deployment.deploy("version 2")
    deployment.go(before)
    deployment.reaches(before, "STALLED")
    deployment.deploy("versions 1 and 2")
    deployment.go(before)
    assert deployment.reaches(before, "COMPLETED") == "AB"


def test_a_missing_workflow_fails_an_instance_for_good(deployment: Deployment) -> None:
    """So every worker registers every workflow, from the first day with its version."""
    deployment.deploy("first")
    before = deployment.start("other")
    deployment.deploy("version 1")
    deployment.go(before)
    assert "not registered" in deployment.reaches(before, "FAILED")
    deployment.deploy("first")


def test_an_instance_that_was_started_without_a_version_runs_the_latest(deployment: Deployment) -> None:
    """So a version that comes later is too late for what is in flight: every workflow has one from the first day."""
    deployment.deploy("numbered without a version")
    before = deployment.start("numbered")
    deployment.deploy("versions 1 and 2")
    deployment.go(before)
    assert "history mismatch" in deployment.reaches(before, "FAILED")


def test_old_and_new_workers_side_by_side_mix_nothing_up(deployment: Deployment, tmp_path: Path) -> None:
    """On one sidecar: a turn that reaches a worker without the version stalls its instance, which the sidecar then keeps from every
    event, also when the old worker has gone; it goes on when the sidecar's only worker is started again.
    """
    deployment.deploy("version 1")
    before = [deployment.start("numbered") for _ in range(4)]
    with deployment.beside("version 1", tmp_path):
        deployment.deploy("versions 1 and 2")
        during = [deployment.begin("numbered") for _ in range(8)]
        for instance_id in before:
            deployment.go(instance_id)
        assert [deployment.reaches(instance_id, "COMPLETED") for instance_id in before] == ["AB"] * len(before)
    deployment.deploy("versions 1 and 2")
    ended = [deployment.pushed_to_its_end(instance_id) for instance_id in during]
    assert set(ended) <= {"AB", "XAB"}
