"""What `sayso ledger prune` does: ask ledger and engine, take away what is over, say what it brought."""

from __future__ import annotations

import dataclasses
import getpass
import time
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sayso.cli.output import out, print_json, say
from sayso.engine import DaprEngine
from sayso.errors import ConfigurationError, TransientError
from sayso.ledger import Ledger
from sayso.ledger.pruning import Pruned, count_prunable
from sayso.ledger.space import give_back, space_of
from sayso.prune import Progress, prune
from sayso.stack_address import StackAddress, find_stack

SAY_EVERY_SECONDS = 5.0


def prune_ledger(older_than: str, actor: str | None, *, dry_run: bool, with_engine: bool, vacuum: bool, as_json: bool) -> None:
    """Prune and say what was done, or what would be."""
    span = parsed_span(older_than)
    stack = find_stack()
    ledger = stack.ledger()
    try:
        before_ms = ledger.read(lambda tx: tx.now_ms) - int(span.total_seconds() * 1000)
        if dry_run:
            _tell({"would_prune": dataclasses.asdict(ledger.read(partial(count_prunable, before_ms=before_ms)))}, as_json=as_json)
            return
        engine = _engine_of(stack) if with_engine else None
        done = _pruned(ledger, engine, before_ms, actor or getpass.getuser())
        if vacuum:
            give_back(ledger)
        document = dataclasses.asdict(done.pruned) | {"kept": done.kept, "purged": done.purged} | dataclasses.asdict(space_of(ledger))
        _tell({"pruned": document}, as_json=as_json)
    finally:
        ledger.close()


def parsed_span(text: str) -> timedelta:
    """An ISO 8601 duration, not negative."""
    try:
        span = TypeAdapter(timedelta).validate_python(text)
    except ValidationError as error:
        raise ConfigurationError(f"--older-than {text}: write a duration as ISO 8601 has it: P90D, P1Y, PT12H") from error
    if span < timedelta(0) or text.strip().lstrip("+-").isdigit():
        raise ConfigurationError(f"--older-than {text}: write a duration as ISO 8601 has it: P90D, P1Y, PT12H")
    return span


def _engine_of(stack: StackAddress) -> DaprEngine:
    try:
        return stack.engine()
    except TransientError as error:
        raise TransientError(f"{error}; or prune without asking the engine: --without-engine") from error


def _pruned(ledger: Ledger, engine: DaprEngine | None, before_ms: int, actor: str) -> Progress:
    done, said_at = Progress(Pruned()), time.monotonic()
    for done in prune(ledger, engine, before_ms, actor=actor):
        if time.monotonic() - said_at > SAY_EVERY_SECONDS:
            said_at = time.monotonic()
            say(f"pruned {done.pruned.cases} cases and {done.pruned.events} events so far")
    return done


def _tell(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    ((what, numbers),) = document.items()
    words = {"cases": "cases", "events": "events", "published": "published events", "tombstones": "tombstones left"}
    words |= {"kept": "cases kept: their instances have not ended", "purged": "instances purged in the engine"}
    words |= {"total_bytes": "bytes in all", "free_bytes": "bytes of it for new rows; --vacuum gives them back"}
    console = out()
    console.print(what.replace("_", " "), markup=False)
    for name, text in words.items():
        if numbers.get(name) is not None:
            console.print(f"{numbers[name]:>12,}  {text}", markup=False)
