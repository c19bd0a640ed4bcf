"""A fault run: a stack of its own, a steady load, a strike every few seconds; then peace, and the checker's verdict.

In: `Terms`. Out: `Result`. Invariant: at the end nothing is paused, cut or running any more; records and logs stay.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from sayso.errors import SaysoError
from sayso.ledger import Ledger
from sayso.ledger.schema import cases, events
from sayso.simulator.checker import check
from sayso.simulator.finding import Finding
from sayso.simulator.observed import Observed, write_lines
from sayso.stack.state import Broker, LedgerKind, ProcessStatus
from sayso.testing.demo_signer import DemoSigner
from sayso.testing.fault_run.key_order import check_order
from sayso.testing.fault_run.load import Load
from sayso.testing.fault_run.partitions import Partitions
from sayso.testing.fault_run.pulse import Pulse, Stall
from sayso.testing.fault_run.stories import SETTINGS, stories
from sayso.testing.fault_run.strikes import Plan, Strike, Striker, Tally
from sayso.testing.fault_run.witness import observe
from sayso.testing.foreign_client import foreign_client_of
from sayso.testing.stack import StackHandle, running_stack

TOLD_SECONDS = 180.0
PEACE_SECONDS = 420.0
"""After the last strike: beyond every lease, back-off and session time-out."""

SCRIPTED_SECONDS = 60.0
"""How long a scripted strike waits for a victim that is down already; a seeded one is left out."""

NEXT_SECONDS = 0.5
RECORDS = "records.jsonl"


@dataclass(frozen=True)
class Terms:
    """What to run."""

    broker: Broker
    ledger: LedgerKind
    seconds: float
    seed: int
    state_dir: Path
    stories_a_second: float = 2.0
    strike_every_seconds: float = 9.0
    replicas: int = 1
    script: tuple[Strike, ...] = ()
    """These strikes, one after the other, instead of seeded ones."""


@dataclass
class Result:
    """What came of it."""

    terms: Terms
    observed: Observed
    findings: list[Finding]
    tally: Tally
    stalls: list[Stall]
    longest_pause_seconds: float
    quiet_after_seconds: float | None
    """From the last strike until nothing was left to do; None: never."""

    told: int
    messages: int
    lasted_seconds: float
    restarts: dict[str, int] = field(default_factory=dict)
    open_cases: str = ""

    @property
    def is_well(self) -> bool:
        """Nothing lost, nothing twice, everything ended."""
        return not self.findings and self.quiet_after_seconds is not None


Say = Callable[[str], None]


def fault_run(terms: Terms, say: Say) -> Result:
    """Do it all; `say` gets a line for each strike and now and then one about the state."""
    with _battlefield(terms) as stack:
        run = _Run(terms, stack, say)
        try:
            return run.run()
        finally:
            run.close()


@contextmanager
def _battlefield(terms: Terms) -> Iterator[StackHandle]:
    with running_stack(
        terms.state_dir,
        broker=terms.broker,
        ledger=terms.ledger,
        env_overrides=SETTINGS,
        fresh=True,
        keep_data=True,
        replicas=terms.replicas,
        partitionable=True,
    ) as stack:
        yield stack


class _Run:
    """The parts of one run."""

    def __init__(self, terms: Terms, stack: StackHandle, say: Say) -> None:
        self._terms = terms
        self._stack = stack
        self._say = say
        state = stack.state
        self._ledger = Ledger(state.ledger_url)
        self._broker = foreign_client_of(state)
        self._partitions = Partitions(state.toxiproxy_port)
        self._striker = Striker(stack, self._partitions)
        names = [process.name for process in state.processes]
        self._plan = Plan(terms.seed, names, self._partitions.names())
        self._load = Load(self._broker, DemoSigner.of(stack.options), stories(terms.seed), terms.stories_a_second)
        self._pulse = Pulse(self._ledger, self._state_of_things)
        self._latest: list[str] = []
        self._began = time.monotonic()

    def close(self) -> None:
        """Close the connections; call it before the stack stops."""
        self._pulse.stop()
        self._partitions.close()
        self._broker.close()
        self._ledger.close()

    def run(self) -> Result:
        self._load.start()
        self._pulse.start()
        self._strike_on()
        self._load.stop(TOLD_SECONDS)
        last_strike = time.monotonic()
        quiet = self._pulse.wait_quiet(PEACE_SECONDS)
        quiet_after_seconds = time.monotonic() - last_strike if quiet else None
        self._say(f"quiet after {quiet_after_seconds:.0f} s" if quiet_after_seconds is not None else "never quiet")
        self._pulse.stop()
        return self._judged(quiet_after_seconds)

    def _strike_on(self) -> None:
        until = self._began + self._terms.seconds
        pause = self._plan.pause_seconds(self._terms.strike_every_seconds)
        for strike in self._terms.script or self._plan.strikes():
            if not self._terms.script and time.monotonic() + pause > until:
                break
            time.sleep(pause)
            self._require_alive()
            # Who is to be spared now gives way to the next one, at once.
            pause = self._plan.pause_seconds(self._terms.strike_every_seconds) if self._carry_out(strike) else NEXT_SECONDS
        while time.monotonic() < until:
            time.sleep(0.1)

    def _carry_out(self, strike: Strike) -> bool:
        until = time.monotonic() + (SCRIPTED_SECONDS if self._terms.script else 0)
        while not self._striker.strike(strike):
            if time.monotonic() >= until:
                return False
            time.sleep(0.5)
        beat = self._pulse.last
        at = time.monotonic() - self._began
        line = f"{at:6.0f} s  {strike!s:<40} {beat.open} open, {beat.ended} ended, {len(self._load.sent)} messages sent"
        self._latest = [*self._latest[-5:], f"{at:.0f} s: {strike}"]
        self._say(line)
        return True

    def _require_alive(self) -> None:
        failed = [process for process in self._stack.state.processes if process.status is ProcessStatus.FAILED]
        if failed:
            raise SaysoError("; ".join(f"{process.name}: {process.detail}" for process in failed))
        if self._load.error is not None:
            raise self._load.error

    def _judged(self, quiet_after_seconds: float | None) -> Result:
        state = self._stack.state
        observed = observe(self._load.sent, self._ledger, self._broker, state.partners_url)
        with (self._terms.state_dir / RECORDS).open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in write_lines(observed))
        findings = check(observed)
        if self._terms.broker == "kafka":
            query = select(events.c.topic, events.c.digest, events.c.seq)
            numbers = {(row.topic, row.digest): row.seq for row in self._ledger.read(lambda tx: tx.all(query))}
            findings += check_order(observed.sent, numbers, observed.states)
        return Result(
            terms=self._terms,
            observed=observed,
            findings=findings,
            tally=self._striker.tally,
            stalls=self._pulse.stalls,
            longest_pause_seconds=self._pulse.longest_pause_seconds,
            quiet_after_seconds=quiet_after_seconds,
            told=self._load.told,
            messages=len(self._load.sent),
            lasted_seconds=time.monotonic() - self._began,
            restarts={process.name: process.restarts for process in state.processes},
            open_cases="" if quiet_after_seconds is not None else self._state_of_things(),
        )

    def _state_of_things(self) -> str:
        """For whom reads that nothing moves: the latest strikes, processes that are not ready, why cases wait."""
        lines = [*self._latest]
        lines += [f"{each.name}: {each.status} {each.detail}" for each in self._stack.state.processes if each.status != "ready"]
        left = select(events.c.state, events.c.attempts, events.c.reason).where(events.c.state.in_(("received", "held")))
        for query, name in ((_OPEN, "case"), (left.limit(5), "event")):
            counted = Counter(tuple(row) for row in self._ledger.read(lambda tx, query=query: tx.all(query)))  # type: ignore[misc]
            lines += [f"{count} x {name} {what}" for what, count in counted.most_common(8)]
        return "\n".join(lines)


_OPEN = select(cases.c.phase, cases.c.stage, cases.c.due_at_ms.isnot(None).label("is_due"), cases.c.last_error).where(
    cases.c.phase != "closed"
)
