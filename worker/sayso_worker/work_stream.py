"""The work stream: hands what daprd sends straight to threads.

In: the SDK's stream of work items. Out: each workflow turn and each activity, run by the SDK's own code on a thread. The SDK takes
every item through a queue, a waiting thread and an asyncio loop first, which costs about as much as a turn. What it does with an
item, how it connects again and how it stops stay its own (docs/adr/0010-work-goes-straight-to-threads.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import structlog
from dapr.ext.workflow import WorkflowRuntime

from sayso_worker.last_steps import PLACES

log = structlog.get_logger()
TURN_THREADS = PLACES + 4
"""Turns are pure Python, for which four are enough; those that take a last step wait for a service and for the disk."""


class WorkStream(grpc.UnaryStreamClientInterceptor):  # type: ignore[misc] # grpc has no types
    """Give it to the runtime as an interceptor, and `attach` it before the runtime starts."""

    def __init__(self) -> None:
        self._worker: Any = None
        self._turns = ThreadPoolExecutor(TURN_THREADS, thread_name_prefix="turn")

    def attach(self, runtime: WorkflowRuntime) -> None:
        """From now on this runtime's work is handed over; one whose SDK has no such parts keeps its own way."""
        self._worker = getattr(runtime, "_WorkflowRuntime__worker", None)

    def intercept_unary_stream(self, continuation: Callable[..., Any], call_details: Any, request: Any) -> Any:
        """The only stream that a worker opens is that of its work items."""
        stream = continuation(call_details, request)
        return stream if self._worker is None else _Rest(stream, self._hands_over(stream))

    def close(self) -> None:
        """Let the turns in hand finish; call it when the runtime has been shut down. The sidecar gives out again what is left."""
        self._turns.shutdown(wait=True, cancel_futures=True)

    def _hands_over(self, stream: Any) -> Callable[[Any], bool]:
        worker, teardown = self._worker, self._worker._make_stream_teardown(stream)
        activities = worker._async_worker_manager.thread_pool

        def hand_over(item: Any) -> bool:
            if item.HasField("workflowRequest"):
                turn = self._turns.submit(worker._execute_orchestrator, item.workflowRequest, item.completionToken, teardown)
                turn.add_done_callback(_say_failure)
            elif item.HasField("activityRequest"):
                request = item.activityRequest
                activity = worker._registry.get_activity(request.name)
                done = activities.submit(worker._execute_activity, activity, request, item.completionToken)
                done.add_done_callback(_say_failure)
            else:
                return False
            return True

        return hand_over


class _Rest:
    """The stream as the SDK's reader sees it: without what has been handed over."""

    def __init__(self, stream: Any, hand_over: Callable[[Any], bool]) -> None:
        self._stream = stream
        self._hand_over = hand_over

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        for item in self._stream:
            if not self._hand_over(item):
                return item
        raise StopIteration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _say_failure(done: Future[None]) -> None:
    """The SDK answers daprd whatever comes of an item; what it did not foresee must be seen."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.error("work was not answered, the sidecar gives it out again", error=f"{type(error).__name__}: {error}")
