"""The engine port: starting workflow instances, raising events to them, asking for their state.

`DaprEngine` is Dapr Workflow behind the app's own sidecar. Every call has a deadline, because without a connected worker a start
hangs. Errors that pass by themselves are `TransientError`. What Dapr does
was measured: tests/integration/test_dapr_facts.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import grpc
from dapr.clients.exceptions import DaprInternalError
from dapr.conf import settings as dapr_settings
from dapr.ext.workflow import DaprWorkflowClient
from dapr.ext.workflow.workflow_management import WorkflowHistoryEventType

from sayso.errors import TransientError

DISCARDED = "discarded by Sayso"
END_SECONDS = 10
NO_SUCH_INSTANCE = "no such instance exists"  # the code differs by replica, the text does not
UNREADABLE = "missing from state store"
HISTORY_BYTES_MAX = 16 * 1024 * 1024
"""What an answer of the sidecar may weigh: more than the history at which Dapr stalls a workflow."""


LISTED_AT_ONCE = 1_000


class NoSuchInstanceError(TransientError):
    """The engine does not know the instance (yet, or any more)."""


class UnreadableInstanceError(TransientError):
    """What the engine has stored of the instance does not fit together. For a moment that happens by itself; if it stays so, no call
    of the engine can mend, end or forget the instance (tests/integration/test_dapr_facts.py).
    """


@dataclass(frozen=True)
class InstanceState:
    """How the engine sees an instance: `RUNNING`, `COMPLETED`, `FAILED`, `TERMINATED`, `PENDING`, `SUSPENDED`, `STALLED`."""

    status: str
    created_at: datetime
    updated_at: datetime
    custom_status: Any
    output: Any
    failure: str | None

    @property
    def has_ended(self) -> bool:
        """Whether a start of the same id would run it again."""
        return self.status in ("COMPLETED", "FAILED", "TERMINATED")

    @property
    def is_discarded(self) -> bool:
        """Whether we ended it because it could not go on."""
        return self.status == "TERMINATED" and self.output == DISCARDED


@dataclass(frozen=True)
class HistoryEntry:
    """One event of an instance's history: what, of whom, when; `data` is what it carried, decoded.

    The completion of an activity has no name: `number` of its scheduling is `answers` of its completion.
    """

    at: datetime
    kind: str
    name: str | None
    data: Any = None
    number: int = -1
    answers: int | None = None

    @classmethod
    def of(cls, event: Any) -> HistoryEntry:
        """From the engine's own message; the SDK's record of it leaves out what the event carried."""
        field = event.WhichOneof("eventType")
        payload = getattr(event, field) if field else None
        carried = getattr(payload, "result" if hasattr(payload, "result") else "input", None)
        return cls(
            at=event.timestamp.ToDatetime(UTC),
            kind=WorkflowHistoryEventType(field).name,
            name=getattr(payload, "name", "") or None,
            data=_decoded(getattr(carried, "value", None)),
            number=event.eventId,
            answers=getattr(payload, "taskScheduledId", None),
        )


class Engine(Protocol):
    """What the dispatcher needs of a workflow engine."""

    def start(self, workflow: str, instance_id: str, case_input: dict[str, Any]) -> None:
        """Start an instance; one that is active already is fine. The caller makes sure that the id has not ended."""

    def raise_event(self, instance_id: str, name: str, payload: dict[str, Any]) -> None:
        """Wake an instance. Raising to an ended one succeeds and does nothing."""

    def purge(self, instance_id: str) -> None:
        """Forget an instance that has ended; one that is not there is fine."""

    def state(self, instance_id: str) -> InstanceState | None:
        """The instance's state, None when there is none."""

    def history(self, instance_id: str) -> Sequence[HistoryEntry]:
        """What the engine has recorded for the instance, oldest first."""

    def discard(self, instance_id: str) -> None:
        """End an instance that cannot go on; it `is_discarded` then. Its id is not to be used again."""

    def suspend(self, instance_id: str) -> None:
        """Halt an instance; what is raised to it waits. Again, or after its end, it changes nothing."""

    def resume(self, instance_id: str) -> None:
        """Let a suspended instance go on. Again, or after its end, it changes nothing."""

    def terminate(self, instance_id: str, output: str) -> None:
        """End an instance where it stands, also a suspended one. After its end it changes nothing."""

    def instance_ids(self) -> Iterator[str]:
        """Every instance that the engine keeps, also ended ones."""


class DaprEngine:
    """Dapr Workflow, over the sidecar's gRPC port."""

    def __init__(self, timeout: timedelta, host: str | None = None, port: int | None = None) -> None:
        setattr(dapr_settings, "DAPR_API_TIMEOUT_SECONDS", max(1, int(timeout.total_seconds())))  # noqa: B010 - set dynamically there
        self._client = DaprWorkflowClient(host=host, port=str(port) if port else None, max_grpc_message_length=HISTORY_BYTES_MAX)

    def start(self, workflow: str, instance_id: str, case_input: dict[str, Any]) -> None:
        """See `Engine.start`."""
        try:
            self._client.schedule_new_workflow(workflow, input=case_input, instance_id=instance_id)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.ALREADY_EXISTS or "already exists" in (error.details() or ""):
                return
            raise _translated(error) from error

    def raise_event(self, instance_id: str, name: str, payload: dict[str, Any]) -> None:
        """See `Engine.raise_event`."""
        try:
            self._client.raise_workflow_event(instance_id, name, data=payload)
        except grpc.RpcError as error:
            raise _translated(error) from error

    def purge(self, instance_id: str) -> None:
        """See `Engine.purge`."""
        try:
            self._client.purge_workflow(instance_id)
        except grpc.RpcError as error:
            if NO_SUCH_INSTANCE not in (error.details() or ""):
                raise _translated(error) from error

    def state(self, instance_id: str) -> InstanceState | None:
        """See `Engine.state`."""
        try:
            found = self._client.get_workflow_state(instance_id)
        except (grpc.RpcError, DaprInternalError) as error:
            raise _translated(error) from error
        if found is None:
            return None
        failure = found.failure_details
        return InstanceState(
            status=found.runtime_status.name,
            created_at=found.created_at,
            updated_at=found.last_updated_at,
            custom_status=_decoded(found.serialized_custom_status),
            output=_decoded(found.serialized_output),
            failure=str(failure.message) if failure is not None else None,
        )

    def history(self, instance_id: str) -> Sequence[HistoryEntry]:
        """See `Engine.history`."""
        return [HistoryEntry.of(event) for event in self.messages(instance_id)]

    def messages(self, instance_id: str) -> list[Any]:
        """The history as daprd's own messages."""
        try:
            return list(getattr(self._client, "_DaprWorkflowClient__obj").get_instance_history(instance_id))  # noqa: B009 - it is mangled
        except (grpc.RpcError, DaprInternalError) as error:
            raise _translated(error) from error

    def discard(self, instance_id: str) -> None:
        """See `Engine.discard`. Not purged: a turn in daprd's memory may store its end again, without the history that it needs."""
        try:
            self._client.terminate_workflow(instance_id, output=DISCARDED)
            self._client.wait_for_workflow_completion(instance_id, timeout_in_seconds=END_SECONDS)
        except (grpc.RpcError, DaprInternalError, TimeoutError) as error:
            raise _translated(error) from error

    def suspend(self, instance_id: str) -> None:
        """See `Engine.suspend`."""
        self._tell(lambda: self._client.pause_workflow(instance_id))

    def resume(self, instance_id: str) -> None:
        """See `Engine.resume`. That it is harmless twice is the worker's doing (ADR 0011)."""
        self._tell(lambda: self._client.resume_workflow(instance_id))

    def terminate(self, instance_id: str, output: str) -> None:
        """See `Engine.terminate`."""
        self._tell(lambda: self._client.terminate_workflow(instance_id, output=output))

    @staticmethod
    def _tell(call: Callable[[], Any]) -> None:
        try:
            call()
        except (grpc.RpcError, DaprInternalError) as error:
            raise _translated(error) from error

    def instance_ids(self) -> Iterator[str]:
        """See `Engine.instance_ids`."""
        try:
            yield from self._client.iter_workflow_instance_ids(page_size=LISTED_AT_ONCE)
        except grpc.RpcError as error:
            raise _translated(error) from error


def _decoded(serialized: str | None) -> Any:
    if serialized is None or not serialized:
        return None
    try:
        return json.loads(serialized)
    except (ValueError, RecursionError):  # somebody raised it past the ledger: no JSON, a number too long, or nested too deep
        return serialized


def _translated(error: Exception) -> TransientError:
    code = error.code().name if isinstance(error, grpc.Call) else type(error).__name__
    details = (error.details() if isinstance(error, grpc.Call) else str(error)) or ""
    if NO_SUCH_INSTANCE in details:
        return NoSuchInstanceError(details)
    if UNREADABLE in details:
        return UnreadableInstanceError(f"the engine cannot read the instance: {details[:300]}")
    return TransientError(f"the engine did not answer ({code}): {details[:300]}")
