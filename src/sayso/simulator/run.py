"""One simulated run: a seed in, a report with the checker's verdict out.

The same seed, number of events, ledger, mutation and messages give the same report, on every machine.
"""

from __future__ import annotations

import gc
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import structlog

from sayso.correlation.bindings import Bindings, load_bindings
from sayso.settings import ReconcilerSettings, Settings
from sayso.simulator.checker import check
from sayso.simulator.databases import Database, SqliteDatabase
from sayso.simulator.finding import Finding
from sayso.simulator.interleaved_ledger import PostgresqlDatabase
from sayso.simulator.mutations import mutated
from sayso.simulator.scenarios import SCENARIOS, USUAL
from sayso.simulator.traffic import Message
from sayso.simulator.witness import observe
from sayso.simulator.world import World

INTERNAL_ERRORS_KEPT = 20
LEDGERS = ("memory", "sqlite", "postgresql")
SETTINGS_OF_A_RUN = Settings(reconciler=ReconcilerSettings(check_interval=timedelta(hours=12), check_interval_max=timedelta(days=2)))
"""Looking at every waiting case once an hour, for weeks of virtual time, would be most of the work."""


@dataclass(frozen=True)
class Run:
    """What to simulate. `messages` are sent instead of drawn ones; `ledger_url` is an empty PostgreSQL database."""

    seed: int
    events: int
    ledger: str = "memory"
    mutation: str | None = None
    messages: tuple[Message, ...] | None = None
    ledger_url: str | None = None
    bindings: Path = Path("config/bindings.yaml")
    scenario: str = USUAL


@dataclass(frozen=True)
class Report:
    """What happened. `deliveries` counts repetitions too: each is an event that the subscribers must deal with."""

    seed: int
    ledger: str
    deliveries: int
    messages: int
    cases: int
    crashes: int
    lost_instances: int
    seconds: float
    states: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def simulate(run: Run) -> Report:
    """Run it and judge it."""
    report, _ = simulate_world(run)
    return report


def simulate_world(run: Run) -> tuple[Report, list[Message]]:
    """The same, with the messages that were sent."""
    begun = time.process_time()
    with ExitStack() as stack:
        errors = stack.enter_context(_internal_errors())
        stack.enter_context(_without_collector())
        database = stack.enter_context(_database(run))
        stack.enter_context(mutated(run.mutation))
        world = World(run.seed, database, _bindings(run.bindings), SETTINGS_OF_A_RUN, SCENARIOS[run.scenario])
        if run.messages is None:
            world.run(run.events)
        else:
            world.replay(list(run.messages))
        observed = observe(world)
    findings = (*errors, *_failed_instances(world), *world.unrest, *check(observed))
    report = Report(
        run.seed,
        run.ledger,
        world.broker.deliveries,
        len(world.broker.messages),
        len(observed.cases),
        world.scheduler.crashes,
        world.lost_instances,
        time.process_time() - begun,
        dict(sorted(Counter(row.state for row in observed.states).items())),
        dict(sorted(Counter(str(case.outcome) for case in observed.cases).items())),
        findings,
    )
    return report, world.broker.messages


@cache
def _bindings(path: Path) -> Bindings:
    return load_bindings(path)


@contextmanager
def _database(run: Run) -> Generator[Database, None, None]:
    with tempfile.TemporaryDirectory(prefix="sayso-simulate-") as folder:
        database: Any
        if run.ledger == "postgresql":
            assert run.ledger_url is not None
            database = PostgresqlDatabase(run.ledger_url)
        else:
            database = SqliteDatabase(Path(folder) / "ledger.db" if run.ledger == "sqlite" else None)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def _internal_errors() -> Generator[list[Finding], None, None]:
    """Failures of the surroundings are what a run is made of; an exception that a lane did not expect is a finding."""
    errors: list[Finding] = []

    def keep(_logger: Any, _method: str, said: Any) -> Any:
        error = sys.exc_info()[1]
        if error is not None and len(errors) < INTERNAL_ERRORS_KEPT:
            errors.append(Finding("internal error", str(said["event"]), f"{type(error).__name__}: {error}"))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield errors
    finally:
        structlog.configure(**before)


def _failed_instances(world: World) -> Iterator[Finding]:
    """A workflow knows every failure that it may meet; one that raises has a bug."""
    for instance in islice((each for each in world.engine.instances.values() if each.status == "FAILED"), INTERNAL_ERRORS_KEPT):
        yield Finding("internal error", instance.instance_id, str(instance.failure))


@contextmanager
def _without_collector() -> Generator[None, None, None]:
    """A run is short, and the collector would look through all of it again and again; at its end through nothing but it."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()
