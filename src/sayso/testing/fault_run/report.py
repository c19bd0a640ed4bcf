"""The report of a fault run, as Markdown.

In: a `Result`. Out: text that says what ran, what was done to it, what came of every case and event, and the checker's verdict.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from sayso.testing.fault_run.run import Result

FINDINGS_SHOWN = 40
LOST = ("lost", "lost case", "lost effect", "lost publication", "lost dead letter")
TWICE = (
    "used twice",
    "effect twice",
    "opened twice",
    "row twice",
    "published twice",
    "dead-lettered twice",
    "replied twice",
    "money twice",
)
UNFINISHED = ("no final state", "case not ended")


def verdict(result: Result) -> str:
    """One line."""
    rules = Counter(finding.rule for finding in result.findings)
    counts = {
        "lost": sum(rules.pop(rule, 0) for rule in LOST),
        "twice": sum(rules.pop(rule, 0) for rule in TWICE),
        "without a final state": sum(rules.pop(rule, 0) for rule in UNFINISHED),
        "wrong otherwise": sum(rules.values()),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def markdown(result: Result) -> str:
    """The whole report."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    terms, tally, observed = result.terms, result.tally, result.observed
    yield f"# Fault run on {terms.broker} and {terms.ledger}, seed {terms.seed}"
    yield ""
    command = f"--broker {terms.broker} --ledger {terms.ledger} --minutes {terms.seconds / 60:g} --seed {terms.seed}"
    command += f" --every {terms.strike_every_seconds:g}"
    yield f'`make faults FAULTS="{command} --replicas {terms.replicas}"`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC,'
    yield f"{platform.machine()} with {os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f} (15 minutes)."
    yield ""
    yield f"**Verdict: {'all is well' if result.is_well else 'NOT well'}. {verdict(result)}.**"
    yield ""
    quiet = "never" if result.quiet_after_seconds is None else f"{result.quiet_after_seconds:.0f} s after the last message"
    yield from _table(
        ("what", "how many"),
        {
            "replicas (sidecar, subscribers, worker)": terms.replicas,
            "stories told": result.told,
            "messages sent (repetitions among them)": f"{result.messages} ({result.messages - len(observed.sent)})",
            "events in the ledger": len(observed.states),
            "cases": len(observed.cases),
            "kills (-9)": sum(tally.killed.values()),
            "pauses (SIGSTOP, 1 to 15 s)": sum(tally.paused.values()),
            "cuts (TCP, 1 to 15 s)": sum(tally.cut.values()),
            "asked to end (SIGTERM)": sum(tally.ended.values()),
            "longest time in which no case ended": f"{result.longest_pause_seconds:.0f} s",
            "everything had ended": quiet,
            "calls that partners saw again under a known key": sum(effect.calls - 1 for effect in observed.effects),
            "events published more than once (same id)": _repeated(event.id for event in observed.published),
        },
    )
    names = list(dict.fromkeys([*tally.killed, *tally.paused, *tally.ended, *result.restarts]))
    yield from _table(
        ("process", "killed", "paused", "asked to end", "started again"),
        {name: (tally.killed[name], tally.paused[name], tally.ended[name], result.restarts.get(name, 0)) for name in names},
    )
    yield from _table(("connection", "cut"), dict(sorted(tally.cut.items())))
    outcomes = Counter(f"{end.workflow}: {end.outcome or 'OPEN'}" for end in observed.cases)
    yield from _table(("outcome", "cases"), dict(sorted(outcomes.items())))
    yield from _table(("state", "events"), dict(sorted(Counter(row.state for row in observed.states).items())))
    yield from _troubles(result)


def _repeated(ids: Iterable[str]) -> int:
    return sum(count - 1 for count in Counter(ids).values())


def _table(head: tuple[str, ...], rows: Mapping[str, object]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for name, values in rows.items():
        cells = values if isinstance(values, tuple) else (values,)
        yield f"| {name} | {' | '.join(map(str, cells))} |"
    yield ""


def _troubles(result: Result) -> Iterator[str]:
    if result.stalls:
        yield "## Times in which nothing ended"
        yield ""
    for stall in result.stalls:
        yield f"After {stall.after_seconds:.0f} s, for {f'{stall.seconds:.0f} s' if stall.seconds else 'ever'}:"
        yield f"\n```\n{stall.seen}\n```\n"
    if result.findings:
        yield "## Findings"
        yield ""
        yield from (f"- {finding}" for finding in result.findings[:FINDINGS_SHOWN])
        yield f"- … {len(result.findings)} in all" if len(result.findings) > FINDINGS_SHOWN else ""
    if result.open_cases:
        yield f"## What was left\n\n```\n{result.open_cases}\n```"
