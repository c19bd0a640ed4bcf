"""`python -m benchmarks.ledger_growth`: how much room a case takes in the ledger, and what is left of it after pruning.

In: how many cases. Out: bytes by table, and the time of sealing, verifying and pruning, for SQLite and PostgreSQL. Purchases with a
decision and a payment go through production's transactions, the real workflows and activities, on an engine and a broker in memory.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from sqlalchemy import text

from sayso.correlation.bindings import load_bindings
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.cases import Rules
from sayso.ledger.intake import receive
from sayso.ledger.outbox import lease_notices, mark_sent
from sayso.ledger.schema import metadata
from sayso.ledger.sealing import begin_chain, seal_batch
from sayso.ledger.space import give_back, space_of
from sayso.ledger.verifying import verify
from sayso.logs import configure_logs
from sayso.prune import prune
from sayso.services import PartnerClient
from sayso.settings import Settings
from sayso.signing.notary import unchecked
from sayso.testing.ledgers import SqliteLedgers, postgresql_ledgers
from sayso.testing.memory import MemoryEngine, MemoryPublisher
from sayso_subscribers.drive import Driver
from sayso_subscribers.publish import OutboxPublisher
from sayso_subscribers.route import Router
from sayso_worker.activities.steps import confirm_deadline_activity, step_activity
from sayso_worker.registry import STEPS, WORKFLOWS

BINDINGS = load_bindings(Path(__file__).parents[1] / "config" / "bindings.yaml")
KEY = AuditKey(b"k" * 32)
HOUR_MS = 3_600_000
SIZES = {
    "sqlite": "SELECT SUM(pgsize) FROM dbstat WHERE name = :table OR name IN (SELECT name FROM sqlite_master WHERE tbl_name = :table)",
    "postgresql": "SELECT pg_total_relation_size(CAST(:table AS regclass))",
}
ROUND = 100


class _Partners:
    """Says yes to everything."""

    def call(self, path: str, body: Any, idempotency_key: str) -> dict[str, Any]:
        del path, body
        return {"status": "done", "reference": idempotency_key}


class Mill:
    """A ledger through which purchases go, from their request to their end."""

    def __init__(self, ledger: Ledger) -> None:
        settings, partners = Settings(), cast("PartnerClient", _Partners())
        activities: dict[str, Any] = {name: step_activity(name, effect, ledger, partners) for name, effect in STEPS.items()}
        activities["confirm_deadline"] = confirm_deadline_activity(ledger)
        self.ledger = ledger
        self.engine = MemoryEngine(WORKFLOWS, activities)
        self._driver = Driver(ledger, self.engine, settings)
        router = Router(ledger, BINDINGS, unchecked, Rules(settings, read_ledger_id(ledger)), lambda _more: None)
        self._lanes = (router, self._driver, OutboxPublisher(ledger, MemoryPublisher(), settings.dispatcher))

    def grind(self, cases: int) -> None:
        for start in range(0, cases, ROUND):
            numbers = range(start, min(start + ROUND, cases))
            for send in (_asked, _decided, _paid):
                futures = [self.ledger.submit(partial(receive, topic=send(number)[0], original=send(number)[1])) for number in numbers]
                for future in futures:
                    future.result()
                self._settle()

    def close(self) -> None:
        self._driver.stop()
        self.ledger.close()

    def _settle(self) -> None:
        """Until no lane finds anything due; then the notices are out, too."""
        idle = 0
        while idle < 3:
            worked = [lane.work() for lane in self._lanes]
            due = self.ledger.read(lambda tx: tx.all(_DUE, {"now_ms": tx.now_ms}))
            idle = 0 if any(worked) or due[0][0] else idle + 1
        told = self.ledger.transact(partial(lease_notices, lease_ms=1_000, limit=10_000))
        self.ledger.transact(partial(mark_sent, seqs=[notice.seq for notice in told]))


def main(n: Annotated[int, typer.Option(min=1, help="Cases.")] = 2_000) -> None:
    """Measure both databases and print what a case costs."""
    configure_logs("console")
    with tempfile.TemporaryDirectory() as folder:
        for dialect, url in _urls(Path(folder)):
            _report(dialect, url, n)


def _report(dialect: str, url: str, cases: int) -> None:
    mill = Mill(Ledger(url))
    ledger, ledger_id = mill.ledger, read_ledger_id(mill.ledger)
    empty = _sizes(ledger)
    mill.grind(cases)
    ledger.transact(partial(begin_chain, key=KEY, ledger_id=ledger_id))
    sealed, seconds = _timed(lambda: sum(iter(lambda: seal_batch(ledger, KEY), 0)))
    verdict, verifying = _timed(lambda: verify(ledger, KEY, ledger_id, {}))
    give_back(ledger)
    full = _sizes(ledger)
    before_ms = ledger.read(lambda tx: tx.now_ms) + HOUR_MS
    done, pruning = _timed(lambda: list(prune(ledger, mill.engine, before_ms, actor="benchmark"))[-1])
    give_back(ledger)
    left, total = _sizes(ledger), space_of(ledger).total_bytes
    mill.close()
    typer.echo(f"{dialect}: {cases} cases, {done.pruned.events} events, {done.pruned.published} published, {sealed} audit entries")
    typer.echo(
        f"  sealed {sealed / seconds:,.0f}/s, verified {verdict.sealed / verifying:,.0f}/s, pruned {cases / pruning:,.0f} cases/s"
    )
    for name in full:
        grown, kept = (full[name] - empty[name]) / cases, (left[name] - empty[name]) / cases
        typer.echo(f"  {name:<14} {grown:>8,.0f} bytes a case, after pruning {kept:>6,.0f}")
    grown, kept = (sum(full.values()) - sum(empty.values())) / cases, (sum(left.values()) - sum(empty.values())) / cases
    tombstone = (left["tombstones"] - empty["tombstones"]) / done.pruned.tombstones
    typer.echo(
        f"  {'all':<14} {grown:>8,.0f} bytes a case, after pruning {kept:>6,.0f}; {tombstone:,.0f} bytes a tombstone; {total:,} in all"
    )


@contextmanager
def _servers(folder: Path) -> Iterator[list[tuple[str, str]]]:
    with postgresql_ledgers(folder / "postgresql") as source:
        yield [("sqlite", SqliteLedgers(folder).create(folder)), ("postgresql", source.create())]


def _urls(folder: Path) -> Iterator[tuple[str, str]]:
    with _servers(folder) as urls:
        yield from urls


def _sizes(ledger: Ledger) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    names = [table.name for table in metadata.sorted_tables]
    query = text(SIZES[ledger.dialect])
    return {name: ledger.read(lambda tx, name=name: int(tx.all(query, {"table": name})[0][0] or 0)) for name in names}


def _timed(work: Any) -> tuple[Any, float]:
    begun = time.perf_counter()
    return work(), time.perf_counter() - begun


def _event(topic: str, kind: str, number: int, **data: Any) -> tuple[str, bytes]:
    event = {"specversion": "1.0", "id": f"{kind}-{number}", "source": "/shop", "type": kind, "time": "2026-11-21T10:00:00Z"}
    event |= {"datacontenttype": "application/json", "data": {"order_id": f"PO-{number}", **data}}
    return topic, json.dumps(event).encode()


def _asked(number: int) -> tuple[str, bytes]:
    order = {"cost": 1250, "product": "bolts, 12 mm", "quantity": 3, "currency": "EUR", "requester": "alice"}
    return _event("purchases", "com.acme.purchase.requested.v1", number, **order)


def _decided(number: int) -> tuple[str, bytes]:
    return _event("approvals", "sayso.approval.decided.v1", number, approved=True, approver="bob", comment="as agreed")


def _paid(number: int) -> tuple[str, bytes]:
    return _event("payments", "com.acme.payment.captured.v1", number, amount=1250, currency="EUR", payment_id=f"pay-{number}")


_DUE = text(
    "SELECT (SELECT COUNT(*) FROM events WHERE due_at_ms <= :now_ms) + (SELECT COUNT(*) FROM outbox WHERE due_at_ms IS NOT NULL)"
    " + (SELECT COUNT(*) FROM cases WHERE phase != 'closed' AND due_at_ms IS NOT NULL)"
)

if __name__ == "__main__":
    typer.run(main)
