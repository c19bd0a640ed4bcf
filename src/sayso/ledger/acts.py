"""Acts of operators: suspend, resume, terminate, retry and purge a case.

In: a case and an act, who asks and why. Out: one transaction under the case's lock: what the act means for the case, an audit entry,
and the row by which the dispatcher tells the engine (`act_rows`); or an answer that says why nothing is done. Invariants: there is no
second path to the engine; a case ends once, so of an act and an end that meet the second finds a closed case; a suspended case still
receives its events, and its deadline does not stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, and_, bindparam, exists, select, update

from sayso.contracts.cases import Outcome
from sayso.contracts.engine_ids import engine_id
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso.ledger import audit
from sayso.ledger.act_rows import ASKED, DONE, VOID, Act, add_act
from sayso.ledger.cases import Rules, lock_case_key
from sayso.ledger.closing import close_case
from sayso.ledger.database import Transaction
from sayso.ledger.rerunning import rerun, why_not
from sayso.ledger.schema import acts, cases
from sayso.ledger.statements import locked, one_of

CHANNEL = "operator"
TERMINATED = "TERMINATED"


@dataclass(frozen=True)
class Asked:
    """What an act came to. `number` is the act that the dispatcher carries out, None when the ledger is all that it needed."""

    done: bool
    case: str
    reason: str
    number: int | None = None
    event: int | None = None
    """Of what goes through the gate: the number of its event, whose state says what became of it."""


@dataclass(frozen=True)
class DueAct:
    """A leased act. `age_ms` is how long ago it was asked for."""

    seq: int
    instance_id: str
    act: Act
    actor: str
    reason: str
    attempts: int
    age_ms: int
    run: int = 1

    @property
    def engine_id(self) -> str:
        """The instance that the engine is told about."""
        return engine_id(self.instance_id, self.run)


def suspend(tx: Transaction, instance_id: str, *, actor: str, reason: str) -> Asked:
    """Halt the case where it stands, until it is resumed."""
    case = _locked(tx, instance_id)
    if case is None or case.phase == "closed":
        return _ended(instance_id, case)
    if case.suspended_at_ms is not None:
        return Asked(done=False, case=instance_id, reason="it is suspended already")
    tx.run(_UPDATE_CASE, {"this_case": instance_id, "suspended_at_ms": tx.now_ms, "updated_at_ms": tx.now_ms})
    return _asked(tx, Act.SUSPEND, case, actor, reason, "suspended; its deadline goes on")


def resume(tx: Transaction, instance_id: str, *, actor: str, reason: str) -> Asked:
    """Let a suspended case go on with what has come meanwhile."""
    case = _locked(tx, instance_id)
    if case is None or case.phase == "closed":
        return _ended(instance_id, case)
    if case.suspended_at_ms is None and "suspended" not in (case.finding or ""):
        return Asked(done=False, case=instance_id, reason="it is not suspended")
    tx.run(_UPDATE_CASE, {"this_case": instance_id, "suspended_at_ms": None, "finding": None, "updated_at_ms": tx.now_ms})
    return _asked(tx, Act.RESUME, case, actor, reason, "resumed")


def terminate(tx: Transaction, instance_id: str, *, actor: str, reason: str) -> Asked:
    """End the case as `cancelled`, now. Nothing is undone: what its workflow did stays done."""
    case = _locked(tx, instance_id)
    if case is None or case.phase == "closed":
        return _ended(instance_id, case)
    answer = _asked(tx, Act.TERMINATE, case, actor, reason, "terminated")
    words = f"terminated by {actor}: {reason}"
    ref = CaseInput.model_validate_json(case.input).case
    close_case(tx, ref, Closing(outcome=Outcome.CANCELLED, result=None, reason=words), case.opened_at_ms, ended_as=TERMINATED)
    return answer


def retry(tx: Transaction, instance_id: str, rules: Rules, *, actor: str, reason: str) -> Asked:
    """Go on with a failed case from the step that failed, as a new generation."""
    case = _locked(tx, instance_id)
    if case is None:
        return _ended(instance_id, case)
    generations = lock_case_key(tx, case.workflow, case.key)
    refusal = why_not(case, generations)
    if refusal is not None:
        return Asked(done=False, case=instance_id, reason=refusal)
    again = rerun(tx, case, rules, generations + 1, actor=actor, reason=reason)
    return Asked(done=True, case=again, reason=f"opened, to go on where {instance_id} failed")


def purge(tx: Transaction, instance_id: str, *, actor: str, reason: str) -> Asked:
    """Have the engine forget an instance that has ended; the ledger keeps its case."""
    case = _locked(tx, instance_id)
    if case is None:
        return _ended(instance_id, case)
    if case.phase != "closed":
        return Asked(done=False, case=instance_id, reason="it is open; only what has ended is purged")
    return _asked(tx, Act.PURGE, case, actor, reason, "purged from the engine; the ledger keeps it")


def lease_acts(tx: Transaction, lease_ms: int, limit: int) -> list[DueAct]:
    """Lease due acts, of each case the earliest that is not done."""
    leased = tx.all(_lease(tx.dialect), {"now_ms": tx.now_ms, "until_ms": tx.now_ms + lease_ms, "max_rows": limit})
    found = [
        DueAct(
            row.seq,
            row.instance_id,
            Act(row.act),
            row.actor,
            row.reason,
            row.attempts,
            tx.now_ms - row.asked_at_ms,
            case.run if (case := tx.one(_CASE, {"instance_id": row.instance_id})) is not None else 1,
        )
        for row in leased
    ]
    return sorted(found, key=lambda act: act.seq)


def still_wanted(tx: Transaction, act: DueAct) -> bool:
    """Whether the engine is to be told: nobody suspends what has ended meanwhile."""
    case = tx.one(_CASE, {"instance_id": act.instance_id})
    return act.act is not Act.SUSPEND or (case is not None and case.phase != "closed")


def act_done(tx: Transaction, act: DueAct, answer: str, *, void: bool = False) -> None:
    """The engine was told, or did not need to be. A suspension that met the end of its case is taken back."""
    case = _locked(tx, act.instance_id)
    values = {"state": VOID if void else DONE, "answer": answer, "done_at_ms": tx.now_ms, "due_at_ms": None}
    tx.run(_UPDATE_ACT, {"this_act": act.seq, **values})
    if act.act is Act.SUSPEND and not void and (case is None or case.phase == "closed"):
        add_act(tx, Act.RESUME, act.instance_id, reason="its case has ended")


def act_failed(tx: Transaction, act: DueAct, error: str, delay_ms: int) -> None:
    """The engine did not answer: told again later."""
    tx.run(_UPDATE_ACT, {"this_act": act.seq, "answer": error[:500], "due_at_ms": tx.now_ms + delay_ms})


def _asked(tx: Transaction, act: Act, case: Row[Any], actor: str, reason: str, words: str) -> Asked:
    number = add_act(tx, act, case.instance_id, actor=actor, reason=reason)
    audit.record(tx, f"case-{act.value}-asked", actor=actor, channel=CHANNEL, instance_id=case.instance_id, reason=reason)
    return Asked(done=True, case=case.instance_id, reason=words, number=number)


def _ended(instance_id: str, case: Row[Any] | None) -> Asked:
    why = "there is no such case" if case is None else f"it has ended: {case.outcome}"
    return Asked(done=False, case=instance_id, reason=why)


def _locked(tx: Transaction, instance_id: str) -> Row[Any] | None:
    """The case under its lock."""
    case = tx.one(_CASE, {"instance_id": instance_id})
    if case is not None:
        lock_case_key(tx, case.workflow, case.key)
        case = tx.one(_CASE, {"instance_id": instance_id})
    return case


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_UPDATE_CASE = update(cases).where(cases.c.instance_id == bindparam("this_case"))
_UPDATE_ACT: Any = update(acts).where(acts.c.seq == bindparam("this_act"), acts.c.state == ASKED)


@cache
def _lease(dialect: str) -> Any:
    """As `statements.lease`, but one act a case at a time, in order."""
    earlier = acts.alias("earlier")
    waits = exists().where(and_(earlier.c.instance_id == acts.c.instance_id, earlier.c.state == ASKED, earlier.c.seq < acts.c.seq))
    due = select(acts.c.seq).where(acts.c.due_at_ms <= bindparam("now_ms"), ~waits).order_by(acts.c.seq).limit(bindparam("max_rows"))
    chosen = one_of(dialect, acts.c.seq, locked(dialect, due, skip_locked=True))
    statement = update(acts).where(chosen).values(due_at_ms=bindparam("until_ms"), attempts=acts.c.attempts + 1)
    return statement.returning(
        acts.c.seq, acts.c.instance_id, acts.c.act, acts.c.actor, acts.c.reason, acts.c.attempts, acts.c.asked_at_ms
    )
