"""Pruning a ledger from outside, beside a running stack or without one: batch by batch, the engine asked before and told after.

In: ledger, engine, a moment. Out: progress, one record a batch. Order: an instance must have ended, then the ledger forgets its case,
then the engine the instance; what a crash leaves between the two is listed in the ledger, and done first by the next run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from sayso.engine import Engine, UnreadableInstanceError
from sayso.ledger import Ledger
from sayso.ledger.pruning import Ended, Pruned, ended_cases, instances_purged, instances_to_purge, prune_cases, prune_events

BATCH = 100
ENGINE_CALLS = 8
PAUSE_SECONDS = 0.15
"""Between two transactions on SQLite, whose writers look for their turn ten times a second at the least."""


@dataclass(frozen=True)
class Progress:
    """What has been done so far. `kept` cases are over in the ledger, and their instances have not ended."""

    pruned: Pruned
    kept: int = 0
    purged: int = 0


def prune(ledger: Ledger, engine: Engine | None, before_ms: int, *, actor: str) -> Iterator[Progress]:
    """Prune everything that was over before that moment. Without an engine nobody asks whether instances have ended."""
    with ThreadPoolExecutor(ENGINE_CALLS, thread_name_prefix="prune") as pool:
        done = Progress(Pruned(), purged=_purge(ledger, engine, pool))
        last: Ended | None = None
        while found := ledger.read(partial(ended_cases, before_ms=before_ms, limit=BATCH, after=last)):
            last = found[-1]
            ended = [case for case, has_ended in zip(found, pool.map(partial(_has_ended, engine), found), strict=True) if has_ended]
            batch = ledger.transact(partial(prune_cases, chosen=ended, before_ms=before_ms, actor=actor)) if ended else Pruned()
            done = replace(done, pruned=done.pruned + batch, kept=done.kept + len(found) - len(ended))
            done = replace(done, purged=done.purged + _purge(ledger, engine, pool))
            yield done
            _give_way(ledger)
        while (batch := ledger.transact(partial(prune_events, before_ms=before_ms, limit=BATCH, actor=actor))) != Pruned():
            done = replace(done, pruned=done.pruned + batch)
            yield done
            _give_way(ledger)


def purge_forgotten(ledger: Ledger, engine: Engine) -> int:
    """Have the engine forget what the ledger has pruned or erased; returns how many instances."""
    with ThreadPoolExecutor(ENGINE_CALLS, thread_name_prefix="prune") as pool:
        return _purge(ledger, engine, pool)


def _has_ended(engine: Engine | None, case: Ended) -> bool:
    state = engine.state(case.engine_id) if engine is not None else None
    return state is None or state.has_ended


def _purge(ledger: Ledger, engine: Engine | None, pool: ThreadPoolExecutor) -> int:
    """The engine forgets what the ledger has pruned."""
    purged, last = 0, ""
    while engine is not None and (found := ledger.read(partial(instances_to_purge, limit=BATCH, after=last))):
        last = found[-1]
        forgotten = [name for name, done in zip(found, pool.map(partial(_forget, engine), found), strict=True) if done]
        ledger.transact(partial(instances_purged, instance_ids=forgotten))
        purged += len(forgotten)
    return purged


def _forget(engine: Engine, instance_id: str) -> bool:
    """Whether the engine has no such instance any more; one that still runs is left alone, its steps do nothing.

    One that the engine cannot read stays where it is: no call can remove it.
    """
    try:
        state = engine.state(instance_id)
    except UnreadableInstanceError:
        return True
    if state is not None and state.has_ended:
        engine.purge(instance_id)
    return state is None or state.has_ended


def _give_way(ledger: Ledger) -> None:
    if ledger.dialect == "sqlite":
        time.sleep(PAUSE_SECONDS)
