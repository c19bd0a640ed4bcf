"""Mutations of transactions and locks: only two connections to a real PostgreSQL can tell.

In: nothing. Out: a table like `MUTATIONS`. Each takes away a lock or the unity of a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from sqlalchemy import bindparam, select

import sayso.ledger.cases
import sayso.ledger.dead
import sayso.ledger.driving
import sayso.ledger.pruning
import sayso.ledger.rebuilding
import sayso.ledger.reconciling
import sayso.ledger.routing
import sayso.ledger.steps
from sayso.ledger.schema import case_keys
from sayso.ledger.statements import upsert
from sayso.simulator import interleaved_ledger

_LOCKING = (
    sayso.ledger.cases,
    sayso.ledger.dead,
    sayso.ledger.driving,
    sayso.ledger.pruning,
    sayso.ledger.rebuilding,
    sayso.ledger.reconciling,
    sayso.ledger.routing,
    sayso.ledger.steps,
)
_GENERATIONS = select(case_keys.c.generations).where(
    case_keys.c.workflow == bindparam("workflow"), case_keys.c.key == bindparam("key")
)
_lock = sayso.ledger.cases.lock_case_key
_case_of = sayso.ledger.cases.case_of


@cache
def _insert_key(dialect: str) -> Any:
    return upsert(dialect, case_keys).on_conflict_do_nothing()


def _looks_only(tx: Any, workflow: str, key: str) -> int:
    tx.run(_insert_key(tx.dialect), {"workflow": workflow, "key": key, "generations": 0})
    found = tx.one(_GENERATIONS, {"workflow": workflow, "key": key})
    return int(found.generations)


def _lets_go(tx: Any, workflow: str, key: str) -> int:
    generations = _lock(tx, workflow, key)
    tx.connection.commit()
    return generations


def _everywhere(lock: Callable[..., int]) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def patched() -> Generator[None, None, None]:
        with ExitStack() as stack:
            for module in _LOCKING:
                stack.enter_context(patch.object(module, "lock_case_key", lock))
            yield

    return patched


@contextmanager
def _late_check_outside() -> Generator[None, None, None]:
    """The case is looked at before its lock is taken."""
    seen: dict[tuple[str, str, int], Any] = {}

    def lock(tx: Any, workflow: str, key: str) -> int:
        generations = _looks_only(tx, workflow, key)
        if generations:
            seen[workflow, key, id(tx)] = _case_of(tx, workflow, key, generations)
        _lock(tx, workflow, key)
        return generations

    def case_of(tx: Any, workflow: str, key: str, generation: int) -> Any:
        return seen.pop((workflow, key, id(tx)), None) or _case_of(tx, workflow, key, generation)

    routing: Any = sayso.ledger.routing
    with patch.object(routing, "lock_case_key", lock), patch.object(routing, "case_of", case_of):
        yield


TRANSACTION_MUTATIONS: Mapping[str, tuple[str, Callable[[], AbstractContextManager[Any]]]] = MappingProxyType(
    {
        "no-case-lock": ("transactions on a case do not lock it", _everywhere(_looks_only)),
        "lock-let-go": ("the lock of a case is let go before its transaction ends", _everywhere(_lets_go)),
        "late-check-outside": ("whether a case has ended is looked up before its lock", _late_check_outside),
        "settle-unlocked": (
            "what the engine took is recorded without the case's lock",
            lambda: patch.object(sayso.ledger.driving, "lock_case_key", lambda *_: 0),
        ),
        "no-transaction": (
            "each statement is a transaction of its own",
            lambda: patch.object(interleaved_ledger.InterleavedTransaction, "commits_each", new=True),
        ),
    }
)
"""They need `--ledger postgresql`."""
