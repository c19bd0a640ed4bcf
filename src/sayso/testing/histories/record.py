"""Recording: plays scenarios on the real runtime and keeps what daprd recorded of their instances.

In: scenarios. Out: for each a JSON document with the whole history, whose case ended as its row says. Deadlines of a few seconds need
a stack of their own; all that has the same deadlines is played on one stack.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import httpx2
from google.protobuf import json_format
from sqlalchemy import Row, select

from sayso.contracts.catalog import EVENT_TYPES
from sayso.engine import DaprEngine
from sayso.errors import TransientError
from sayso.ledger import Ledger
from sayso.ledger.planning import current_document
from sayso.ledger.schema import cases, tasks
from sayso.stack.runtime_build import RUNTIME_VERSION
from sayso.testing.demo_signer import DemoSigner
from sayso.testing.foreign_client import foreign_client_of
from sayso.testing.histories.scenarios import APPROVAL, HASTY, STAGED, Scenario
from sayso.testing.stack import StackHandle, running_stack

T = TypeVar("T")
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05
STACKS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "patient": {},
        HASTY: {
            "SAYSO_APPROVAL__TIMEOUT": "PT6S",
            "SAYSO_TASK__MANAGER_TIMEOUT": "PT6S",
            "SAYSO_TASK__TOTAL_TIMEOUT": "PT9S",
            "SAYSO_PURCHASE__APPROVAL_TIMEOUT": "PT6S",
            "SAYSO_PURCHASE__PAYMENT_TIMEOUT": "PT3S",
            "SAYSO_ORDER__APPROVAL_TIMEOUT": "PT6S",
            "SAYSO_ESCALATION__TIMEOUT": "PT6S",
        },
        STAGED: {
            "SAYSO_POLICIES__USE": '{"purchase_order_workflow": "purchase_bands"}',
            "SAYSO_TASK__MANAGER_TIMEOUT": "PT3S",
        },
    }
)


EVERY_STEP: Mapping[str, str] = MappingProxyType({"SAYSO_LAST_STEPS_IN_TURN": "false"})
"""A history is to have every step, also the last, which workers take without the engine (ADR 0014)."""


class NotAsExpectedError(AssertionError):
    """A scenario did not come to its end."""


def record(scenarios: Sequence[Scenario], state_dir: Path, say: Callable[[str], None]) -> Iterator[tuple[Scenario, dict[str, Any]]]:
    """Play and record them, stack after stack."""
    for name in sorted({scenario.stack for scenario in scenarios}):
        with running_stack(state_dir / name, env_overrides={**STACKS[name], **EVERY_STEP}, fresh=True) as stack:
            recorder = _Recorder(stack)
            for scenario in (one for one in scenarios if one.stack == name):
                say(scenario.title)
                yield scenario, recorder.play(scenario)
            recorder.close()


class _Recorder:
    """One running stack."""

    def __init__(self, stack: StackHandle) -> None:
        state = self._state = stack.state
        self._ledger = Ledger(state.ledger_url)
        self._broker = foreign_client_of(state)
        self._signer = DemoSigner.of(stack.options)
        self._engine = DaprEngine(timedelta(seconds=10), "127.0.0.1", state.dapr_grpc_port)
        self._partners = httpx2.Client(base_url=state.partners_url or "", timeout=10, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._partners.close()
        self._broker.close()
        self._ledger.close()

    def play(self, scenario: Scenario) -> dict[str, Any]:
        """Play one; gives its document."""
        key = f"{scenario.name.replace('_', '-')}-{secrets.token_hex(3)}"
        rules = json.loads(json.dumps(scenario.faults).replace("{key}", key))
        self._partners.put("/faults", json=rules).raise_for_status()
        for send in scenario.sends:
            if send.when is not None:
                self._waits(key, send.when)
            if send.asked is not None:
                self._asks(key, send.asked)
            if send.when == APPROVAL and scenario.refuse is not None:
                self._use_up(key, scenario.refuse)
            partners = self._state.partners_url or ""
            data = json.loads(json.dumps(send.data).replace("{key}", key).replace("{partners}", partners))
            event = {"specversion": "1.0", "id": secrets.token_hex(8), "source": "/histories", "type": send.type, "data": data}
            topic = EVENT_TYPES[send.type].topic
            self._look_at(key)
            self._broker.send(topic, self._signer.sign(topic, json.dumps(event).encode()))
        case = self._until(key, "its end", lambda case: case.phase == "closed")
        if case.outcome != scenario.outcome:
            raise NotAsExpectedError(f"{scenario.title} ended as {case.outcome} ({case.reason}), not as {scenario.outcome}")
        return {
            "workflow": scenario.workflow,
            "scenario": scenario.name,
            "outcome": scenario.outcome,
            "recorded_with": {"runtime": RUNTIME_VERSION, "sdk": version("dapr")},
            "history": self._history(case.instance_id),
        }

    def _history(self, instance_id: str) -> list[dict[str, Any]]:
        def ended() -> list[Any] | None:
            try:
                history = self._engine.messages(instance_id)
            except TransientError:
                return None
            return history if any(event.HasField("executionCompleted") for event in history) else None

        return [json_format.MessageToDict(event) for event in _eventually(ended, f"the end of {instance_id} in the engine")]

    def _until(self, key: str, what: str, reached: Callable[[Row[Any]], bool]) -> Row[Any]:
        def look() -> Row[Any] | None:
            case = self._case(key)
            return case if case is not None and reached(case) else None

        return _eventually(look, f"{what} of {key}; it is {self._case(key)}")

    def _waits(self, key: str, stage: str) -> None:
        self._until(key, stage, lambda case: case.phase == "running" and case.stage == stage)

    def _asks(self, key: str, stage: str) -> None:
        query = select(tasks.c.stage).join(cases, cases.c.instance_id == tasks.c.instance_id)
        mine = query.where(cases.c.key == key, tasks.c.stage == stage, tasks.c.state == "open")
        _eventually(lambda: self._ledger.read(lambda tx: tx.one(mine)), f"somebody is asked on {stage} of {key}")

    def _look_at(self, key: str) -> None:
        """What is decided now is decided about the request as its case has it."""
        case = self._case(key)
        if case is not None and case.phase == "running":
            self._signer.remember(case.workflow, case.key, current_document(case)["request"])

    def _case(self, key: str) -> Row[Any] | None:
        return self._ledger.read(lambda tx: tx.one(select(cases).where(cases.c.key == key)))

    def _use_up(self, key: str, step: str) -> None:
        """The service refuses a key that it knows from another request."""
        case = self._case(key)
        assert case is not None  # it waits
        header = {"Idempotency-Key": f"{case.instance_id}/{step}/0"}
        self._partners.post("/tasks", json={"task_id": f"not-{key}"}, headers=header).raise_for_status()


def _eventually(look: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise NotAsExpectedError(f"not within {DEADLINE_SECONDS:.0f} s: {what}")
        time.sleep(POLL_SECONDS)
