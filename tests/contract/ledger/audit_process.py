"""A process that works on a ledger's audit log, several of which run at once. Arguments: URL, what, how many, the key in hex.

`append` writes so many entries, `seal` seals until so many are sealed by whoever, `decide` approves every case and says which.
"""

from __future__ import annotations

import sys
import time
from functools import partial

from sqlalchemy import func, select

from sayso.contracts.workflow_io import CaseInput, StepInput, TaskDecision
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.audit import record
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.schema import audit, cases
from sayso.ledger.sealing import begin_chain, seal_batch
from sayso.ledger.steps import complete_step


def append(ledger: Ledger, how_many: int, key: AuditKey) -> None:
    for number in range(how_many):
        ledger.transact(partial(record, action="counted", number=number))


def seal(ledger: Ledger, how_many: int, key: AuditKey) -> None:
    ledger.transact(partial(begin_chain, key=key, ledger_id=read_ledger_id(ledger)))
    sealed = select(func.count()).where(audit.c.number.isnot(None))
    deadline = time.monotonic() + 120
    while ledger.read(lambda tx: tx.all(sealed))[0][0] < how_many:
        assert time.monotonic() < deadline
        if not seal_batch(ledger, key):
            time.sleep(0.01)


def decide(ledger: Ledger, how_many: int, key: AuditKey) -> None:
    rows = ledger.read(lambda tx: tx.all(select(cases.c.input).limit(how_many)))
    decision = TaskDecision(decision="approve", decided_by="bob", channel="topic")
    for row in rows:
        case = CaseInput.model_validate_json(row.input).case
        ledger.transact(partial(complete_step, step=StepInput(case=case, step="approved", decision=decision), result={}))
        sys.stdout.write(f"{case.instance_id}\n")
        sys.stdout.flush()


url, what, how_many, key = sys.argv[1:]
opened = Ledger(url)
{"append": append, "seal": seal, "decide": decide}[what](opened, int(how_many), AuditKey(bytes.fromhex(key)))
opened.close()
