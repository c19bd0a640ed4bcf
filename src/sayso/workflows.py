"""Status and acts as library calls: what `sayso workflow` does, for whoever embeds Sayso.

In: a ledger and the name of a case (its key or instance id). Out: its status in the shape of Dapr's workflow API, or what an act came
to. Invariant: nothing here calls the engine. A status is answered from the ledger, so polling costs one indexed row and works after
the engine has forgotten the instance; an act is a row that the dispatcher carries out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, bindparam, select

from sayso.config_file import did_you_mean
from sayso.contracts.catalog import WORKFLOWS
from sayso.errors import ConfigurationError, SaysoError
from sayso.ledger import Ledger, acts, operator_changes, read_ledger_id
from sayso.ledger.acts import Asked
from sayso.ledger.cases import Rules
from sayso.ledger.outbox import moment
from sayso.ledger.queries.cases import find_cases
from sayso.ledger.schema import acts as act_rows
from sayso.ledger.schema import cases, events
from sayso.ledger.states import EventState
from sayso.policy.rulebook import LivePolicies
from sayso.settings import Settings

STATUSES = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "TERMINATED")
ENDED = STATUSES[3:]


class NoSuchCaseError(SaysoError):
    """Nothing in the ledger has this key or instance id."""


@dataclass(frozen=True)
class Workflows:
    """The workflows of one ledger."""

    ledger: Ledger
    settings: Settings

    def status(self, reference: str, workflow: str | None = None, generation: int | None = None) -> dict[str, Any]:
        """`instanceID, workflowName, createdAt, lastUpdatedAt, runtimeStatus, properties`, as daprd answers (docs/seeds.md, HTTP)."""
        return self.status_of(self.find(reference, workflow, generation))

    def status_of(self, instance_id: str) -> dict[str, Any]:
        """The same by instance id; `NoSuchCaseError` when the ledger has none."""
        row = self.ledger.read(lambda tx: tx.one(_CASE, {"instance_id": instance_id}))
        if row is None:
            raise NoSuchCaseError(f"no case {instance_id}")
        return _status(row)

    def find(self, reference: str, workflow: str | None = None, generation: int | None = None) -> str:
        """The instance id of the one case that is meant."""
        if workflow is not None and workflow not in WORKFLOWS:
            raise ConfigurationError(f'no workflow "{workflow}"{did_you_mean(workflow, WORKFLOWS)}')
        found = self.ledger.read(partial(find_cases, reference=reference, workflow=workflow, generation=generation))
        if not found:
            raise NoSuchCaseError(f"no case {reference}; see: sayso cases")
        if len(found) > 1:
            names = ", ".join(case.workflow for case in found)
            raise ConfigurationError(f"several cases have the key {reference} ({names}); say which workflow")
        return found[0].instance_id

    def suspend(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """Halt it until it is resumed; its events are kept for it, its deadline goes on."""
        return self._ask(acts.suspend, instance_id, actor, reason)

    def resume(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """Let it go on with what has come meanwhile."""
        return self._ask(acts.resume, instance_id, actor, reason)

    def terminate(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """End it as `cancelled`; nothing is undone."""
        return self._ask(acts.terminate, instance_id, actor, reason)

    def retry(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """Go on with a failed one from the step that failed, as a new generation."""
        rules = Rules(self.settings, read_ledger_id(self.ledger), LivePolicies(self.settings))
        return self._ask(partial(acts.retry, rules=rules), instance_id, actor, reason)

    def purge(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """Have the engine forget one that has ended."""
        return self._ask(acts.purge, instance_id, actor, reason)

    def reassign(
        self, instance_id: str, *, actor: str, reason: str, to: str, holder: str | None = None, stage: str | None = None
    ) -> Asked:
        """Let somebody else decide, in the place of `holder` where several are asked. It goes through the gate (`became_of`)."""
        return self._ask(partial(operator_changes.reassign, to=to, holder=holder, stage=stage), instance_id, actor, reason)

    def replan(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """Plan the request by the policy of today. It goes through the gate (`became_of`)."""
        return self._ask(operator_changes.replan, instance_id, actor, reason)

    def cancel(self, instance_id: str, *, actor: str, reason: str) -> Asked:
        """End the case by its own rules, as `cancelled`: its workflow undoes what it can. It goes through the gate (`became_of`)."""
        return self._ask(operator_changes.cancel, instance_id, actor, reason)

    def became_of(self, event: int) -> tuple[str, str] | None:
        """State and reason of an operator's event; None while its workflow has not met it."""
        row = self.ledger.read(lambda tx: tx.one(_EVENT, {"seq": event}))
        under_way = row is not None and row.state in (EventState.DELIVERING, EventState.DELIVERED)
        return (str(row.state), str(row.reason)) if row is not None and not under_way else None

    def carried_out(self, number: int) -> str | None:
        """What came of an act in the engine; None while it is still to be told."""
        row = self.ledger.read(lambda tx: tx.one(_ACT, {"seq": number}))
        return str(row.answer) if row is not None and row.state != "asked" else None

    def _ask(self, act: Callable[..., Asked], instance_id: str, actor: str, reason: str) -> Asked:
        if not actor.strip() or not reason.strip():
            raise ConfigurationError("say who does it and why; both are kept in the audit log")
        return self.ledger.transact(partial(act, instance_id=instance_id, actor=actor.strip(), reason=reason.strip()))


def _status(row: Row[Any]) -> dict[str, Any]:
    properties = {
        "dapr.workflow.custom_status": json.dumps(row.stage) if row.stage else None,
        "dapr.workflow.input": row.input,
        "dapr.workflow.output": row.result,
        "dapr.workflow.failure.error_message": row.reason if row.ended_as == "FAILED" else None,
    }
    return {
        "instanceID": row.instance_id,
        "workflowName": row.workflow,
        "createdAt": moment(row.opened_at_ms).isoformat(),
        "lastUpdatedAt": moment(row.updated_at_ms).isoformat(),
        "runtimeStatus": _runtime_status(row),
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


def _runtime_status(row: Row[Any]) -> str:
    if row.phase == "closed":
        return str(row.ended_as or "COMPLETED")
    if row.suspended_at_ms is not None:
        return "SUSPENDED"
    return "PENDING" if row.phase == "starting" else "RUNNING"


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_EVENT = select(events.c.state, events.c.reason).where(events.c.seq == bindparam("seq"))
_ACT = select(act_rows).where(act_rows.c.seq == bindparam("seq"))
