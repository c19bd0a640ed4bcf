"""The work stream hands turns and activities to threads, and leaves everything else to the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from dapr.ext.workflow import WorkflowRuntime
from dapr.ext.workflow._durabletask.internal import protos as pb

from sayso_worker.work_stream import WorkStream

TURN = pb.WorkItem(workflowRequest=pb.WorkflowRequest(instanceId="case-1"), completionToken="t1")
ACTIVITY = pb.WorkItem(activityRequest=pb.ActivityRequest(name="close_case", taskId=7), completionToken="t2")
PING = pb.WorkItem(healthPing=pb.HealthPing())


class Stream:
    """What gRPC gives."""

    def __init__(self, *items: Any) -> None:
        self._items = iter(items)
        self.is_cancelled = False

    def __iter__(self) -> Iterator[Any]:
        return self._items

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.fixture
def work() -> Iterator[WorkStream]:
    work = WorkStream()
    yield work
    work.close()


def test_turns_and_activities_go_to_the_code_of_the_sdk_and_the_rest_to_its_reader(
    work: WorkStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = WorkflowRuntime(interceptors=[work])
    runtime.register_activity(lambda _ctx, _raw: None, name="close_case")
    work.attach(runtime)
    worker = getattr(runtime, "_WorkflowRuntime__worker")  # noqa: B009 - it is mangled
    turn: Future[tuple[Any, ...]] = Future()
    activity: Future[tuple[Any, ...]] = Future()
    monkeypatch.setattr(worker, "_execute_orchestrator", lambda *given: turn.set_result(given))
    monkeypatch.setattr(worker, "_execute_activity", lambda *given: activity.set_result(given))
    stream = Stream(TURN, PING, ACTIVITY)

    rest = work.intercept_unary_stream(lambda *_: stream, None, None)

    assert list(rest) == [PING]
    request, token, teardown = turn.result(timeout=10)
    assert (request.instanceId, token) == ("case-1", "t1")
    function, request, token = activity.result(timeout=10)
    assert (function is not None, request.taskId, token) == (True, 7, "t2")
    teardown()
    assert stream.is_cancelled


def test_the_reader_can_cancel_the_stream(work: WorkStream) -> None:
    work.attach(WorkflowRuntime(interceptors=[work]))
    stream = Stream()
    work.intercept_unary_stream(lambda *_: stream, None, None).cancel()
    assert stream.is_cancelled


def test_a_stream_of_a_runtime_that_was_not_attached_stays_as_it_is(work: WorkStream) -> None:
    stream = Stream(TURN)
    assert work.intercept_unary_stream(lambda *_: stream, None, None) is stream
