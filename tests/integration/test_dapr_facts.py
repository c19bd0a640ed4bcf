"""What Dapr 1.18 does, where our design depends on it: an upgrade that changes one of these must tell.

The app behind this sidecar is `facts_app/app.py`: nothing of Sayso runs in it but its mailbox, in one workflow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx2
import pytest
from dapr.ext.workflow import DaprWorkflowClient
from shop_events import fresh
from waiting import eventually

from sayso.contracts.workflow_io import CaseInput, CaseRef, Plan, RaisedEvent
from sayso.engine import DaprEngine
from sayso.errors import TransientError
from sayso.testing.foreign_client import ForeignClient, foreign_client_of
from sayso.testing.stack import StackHandle, running_stack
from sayso_worker.sidecar_watch import WEDGED_SECONDS

pytestmark = pytest.mark.stack
FACTS_APP = Path(__file__).parent / "facts_app"
T = TypeVar("T")
EVENTS, EVENTS_A_RUN, SENDERS = 120, 4, 8


def _settled(ask: Callable[[], T]) -> T:
    """The answer; while the engine is between two writes it is an UNKNOWN error instead, which passes by itself."""

    def answer() -> list[T] | None:
        try:
            return [ask()]
        except grpc.RpcError as error:
            if "missing from state store" not in (error.details() or ""):
                raise
            return None

    return eventually(answer, 10, "an answer of the engine")[0]


class Facts:
    """The sidecar's workflow API and the broker behind it."""

    def __init__(self, stack: StackHandle) -> None:
        self.workflows = DaprWorkflowClient(host="127.0.0.1", port=str(stack.state.dapr_grpc_port))
        self.engine = DaprEngine(timedelta(seconds=10), "127.0.0.1", stack.state.dapr_grpc_port)
        self.broker: ForeignClient = foreign_client_of(stack.state)
        self.stack = stack
        self._deliveries = stack.state.state_dir / "deliveries.txt"

    def lose_worker(self) -> None:
        """Kill the only worker. The one after it finds daprd wedged now and then (dapr/dapr#10408); then that is killed too, as
        Sayso's own worker does.
        """
        self.stack.kill("sayso")
        metadata = f"http://127.0.0.1:{self.stack.state.dapr_http_port}/v1.0/metadata"

        def is_back() -> bool:
            try:
                found = httpx2.get(metadata, timeout=3, trust_env=False).json()
            except (httpx2.HTTPError, ValueError):
                return False
            return bool((found.get("workflows") or {}).get("connectedWorkers"))

        try:
            eventually(is_back, WEDGED_SECONDS + 10, "another worker")
        except AssertionError:
            self.stack.kill("daprd")
            eventually(is_back, 60, "another worker of another daprd")

    def start(self, workflow: str, given: Any, instance_id: str | None = None) -> str:
        chosen = instance_id or fresh(workflow)
        self.workflows.schedule_new_workflow(workflow, input=given, instance_id=chosen)
        return chosen

    def raise_until_taken(self, instance_id: str, name: str, payload: dict[str, Any]) -> None:
        """Raise it again, as the dispatcher does, until the engine says that it has it; so it may have it twice."""

        def taken() -> bool:
            try:
                self.engine.raise_event(instance_id, name, payload)
            except TransientError:
                return False
            return True

        eventually(taken, 60, f"{name} is raised")

    def output_of(self, instance_id: str) -> Any:
        """What the instance returned, once it has ended."""
        state = self.workflows.wait_for_workflow_completion(instance_id, timeout_in_seconds=20)
        assert state is not None
        assert state.runtime_status.name == "COMPLETED", state
        return json.loads(state.serialized_output)

    def status(self, instance_id: str) -> str | None:
        state = _settled(lambda: self.workflows.get_workflow_state(instance_id))
        return state.runtime_status.name if state else None

    def seen_as(self, instance_id: str) -> str | None:
        """Its status as the reconciler asks for it, which knows one that the SDK does not."""
        try:
            state = self.engine.state(instance_id)
        except TransientError:
            return None
        return state.status if state else None

    def history(self, instance_id: str) -> list[tuple[str, Any]]:
        return [
            (entry.event_type.name, entry.timestamp) for entry in _settled(lambda: self.workflows.get_workflow_history(instance_id))
        ]

    def deliveries(self, body: bytes) -> int:
        lines = self._deliveries.read_text("ascii").split("\n")[:-1] if self._deliveries.exists() else []
        return lines.count(body.hex())


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    with running_stack(tmp_path_factory.mktemp("facts"), project=FACTS_APP) as stack:
        it = Facts(stack)
        yield it
        it.broker.close()


def test_a_raise_to_an_unknown_instance_fails_with_this_text(facts: Facts) -> None:
    """`sayso.engine` matches the text, because the code differs by replica."""
    with pytest.raises(grpc.RpcError, match="no such instance exists"):
        facts.workflows.raise_workflow_event("nobody", "go", data={"a": 1})


def test_a_raise_to_an_ended_instance_succeeds_and_the_event_is_gone(facts: Facts) -> None:
    """So a late event is found by the ledger, under the case's lock; the engine would swallow it."""
    ended = facts.start("repeat", "once")
    facts.output_of(ended)
    before = facts.history(ended)
    facts.workflows.raise_workflow_event(ended, "go", data={"a": 1})
    assert facts.history(ended) == before
    assert facts.output_of(ended) == "once"


def test_an_ended_id_that_is_scheduled_again_runs_again_and_its_old_history_is_gone(facts: Facts) -> None:
    """So instance ids never come back: they carry the case's generation and the ledger's own id."""
    ended = facts.start("repeat", "first")
    assert facts.output_of(ended) == "first"
    before = facts.history(ended)
    facts.start("repeat", "second", ended)
    assert eventually(lambda: facts.output_of(ended) == "second", 10, "the second run's output")
    assert not set(before) & set(facts.history(ended))


def test_an_active_id_already_exists(facts: Facts) -> None:
    """So a start after an unknown result is safe while the instance runs."""
    active = facts.start("collect", 1)
    with pytest.raises(grpc.RpcError) as failure:
        facts.start("collect", 1, active)
    assert failure.value.code() is grpc.StatusCode.ALREADY_EXISTS
    facts.workflows.raise_workflow_event(active, "go", data={"a": 1})
    assert facts.output_of(active) == [{"a": 1}]


def test_a_running_instance_can_be_ended_and_says_by_whom(facts: Facts) -> None:
    """So a reconciler that was killed between ending a stuck instance and recording it knows what it finds."""
    stuck = facts.start("collect", 2)
    facts.workflows.raise_workflow_event(stuck, "go", data={"run": 1})
    facts.engine.discard(stuck)
    state = facts.engine.state(stuck)
    assert state is not None
    assert state.is_discarded
    assert state.has_ended


def test_an_event_that_is_raised_twice_is_delivered_twice(facts: Facts) -> None:
    """So the mailbox drops repetitions by identity."""
    instance = facts.start("collect", 2)
    for _ in range(2):
        facts.workflows.raise_workflow_event(instance, "go", data={"identity": "same"})
    assert facts.output_of(instance) == [{"identity": "same"}] * 2


def test_an_event_before_its_wait_is_kept_and_the_order_too(facts: Facts) -> None:
    instance = facts.start("collect", 5)
    for number in range(5):
        facts.workflows.raise_workflow_event(instance, "go", data={"number": number})
    assert facts.output_of(instance) == [{"number": number} for number in range(5)]


def test_event_names_ignore_case(facts: Facts) -> None:
    """So two event names of one workflow that differ only by case are an error in bindings.yaml."""
    instance = facts.start("collect", 1)
    facts.workflows.raise_workflow_event(instance, "GO", data={"a": 1})
    assert facts.output_of(instance) == [{"a": 1}]


@pytest.mark.parametrize("falsy", [False, 0, "", {}, []])
def test_empty_data_arrives_as_nothing(facts: Facts, falsy: Any) -> None:
    """So Sayso always raises an object with fields."""
    instance = facts.start("collect", 1)
    facts.workflows.raise_workflow_event(instance, "go", data=falsy)
    assert facts.output_of(instance) == [None]


def test_a_workflow_that_continues_as_new_keeps_buffered_events_only_if_it_says_so(facts: Facts) -> None:
    """So the journal always says so."""
    outputs = {}
    for save_events in (True, False):
        instance = facts.start("forget", {"again": False, "save_events": save_events})
        facts.workflows.raise_workflow_event(instance, "more", data={"a": 1})
        facts.workflows.raise_workflow_event(instance, "go", data={"a": 2})
        outputs[save_events] = facts.output_of(instance)
    assert outputs == {True: {"a": 1}, False: "nothing"}


def test_a_timer_of_a_run_does_not_fire_in_the_next_one(facts: Facts) -> None:
    """Their numbers are the same, and nobody takes a timer back; so a mailbox may leave its timers behind."""
    instance = facts.start("renew", 1)
    facts.workflows.raise_workflow_event(instance, "go", data={"a": 1})
    assert facts.output_of(instance) == "the timer"


def test_the_mailbox_takes_every_event_once_although_its_workflow_continues_as_new_under_a_flood(facts: Facts) -> None:
    """Every event is raised twice, as fast as eight senders can, and the worker is killed meanwhile."""
    case = CaseRef(workflow="relay", key="k", generation=1, instance_id=fresh("relay"), opened_at=datetime.now(UTC))
    request = {"events": EVENTS, "events_a_run": EVENTS_A_RUN}
    given = CaseInput(case=case, request=request, plan=Plan(approval_timeout_seconds=60))
    facts.start("relay", given.model_dump(mode="json"), case.instance_id)

    def send(number: int, name: str) -> None:
        identity = hashlib.sha256(str(number).encode()).hexdigest()
        event = RaisedEvent(seq=number, identity=identity, name=name, received_at=datetime.now(UTC), data={"number": number})
        facts.raise_until_taken(case.instance_id, name, event.as_payload())

    numbers = list(range(1, EVENTS + 1))
    with ThreadPoolExecutor(SENDERS) as senders:
        sent = [senders.submit(send, number, "tick" if number % 3 else "tock") for number in numbers for _ in range(2)]
        eventually(lambda: sum(one.done() for one in sent) > EVENTS, 60, "half of them are raised")
        facts.lose_worker()
        for one in sent:
            one.result()
        send(EVENTS + 1, "stop")
    result = facts.output_of(case.instance_id)
    assert sorted(number for _, number in result["taken"]) == numbers
    assert result["runs"] > EVENTS // EVENTS_A_RUN
    assert result["stopped"], "not by its time"


def test_the_history_of_an_instance_can_be_read(facts: Facts) -> None:
    """`sayso case` shows it."""
    instance = facts.start("collect", 1)
    facts.workflows.raise_workflow_event(instance, "go", data={"a": 1})
    facts.output_of(instance)
    kinds = [kind for kind, _ in facts.history(instance)]
    assert {"EXECUTION_STARTED", "EVENT_RAISED", "EXECUTION_COMPLETED"} <= set(kinds), kinds


def test_there_is_no_state_of_an_unknown_instance(facts: Facts) -> None:
    assert facts.status("nobody") is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"big": 123456789012345678901234567890}}',
        b'{"specversion": "1.0", "id": "2", "source": "/s", "type": "t", "expiration": "2000-01-01T00:00:00Z"}',
        b'{"plain": "object"}',
        b"\xff\xfe not json",
        b"",
        b"null",
        b"x" * 1_000_000,
    ],
    ids=["event", "expired event", "object", "garbage", "nothing", "null", "a megabyte"],
)
def test_a_raw_subscription_gets_every_message_byte_for_byte(facts: Facts, body: bytes) -> None:
    """Without `rawPayload` daprd acknowledges and loses what it cannot parse, and what has expired."""
    facts.broker.send("facts", body)
    eventually(lambda: facts.deliveries(body) >= 1, 20, f"{body[:40]!r} was delivered")
    assert facts.deliveries(body) == 1


def test_a_history_that_grows_too_large_stalls_visibly_and_a_small_one_ends(facts: Facts) -> None:
    """So payloads are limited, large texts stay in the ledger, and what would grow continues as new."""
    small = facts.start("grow", {"times": 10, "size": 100_000})
    large = facts.start("grow", {"times": 40, "size": 200_000})
    assert facts.output_of(small) == 10
    eventually(lambda: facts.seen_as(large) == "STALLED", 60, f"{large} is stalled; it is {facts.seen_as(large)}")
