"""The report of a monitor run, as Markdown. In: a `Result`. Out: text with its figures and the verdict."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

from sayso.testing.monitor_run.run import Result

HEADINGS = (
    ("checks", "checks"),
    ("messages sent", "events_sent"),
    ("history, events", "history_events"),
    ("history, bytes", "history_bytes"),
    ("worker, MiB", "worker_mib"),
    ("subscribers, MiB", "subscribers_mib"),
    ("daprd, MiB", "daprd_mib"),
    ("rows of steps", "step_rows"),
    ("of events", "event_rows"),
    ("of outbox", "outbox_rows"),
    ("of audit", "audit_rows"),
    ("ledger, MiB", "ledger_mib"),
)


def report(result: Result) -> str:
    """All of it."""
    terms = result.terms
    verdict = "all is well" if not result.wrong else f"{len(result.wrong)} complaints"
    load = os.getloadavg()[2]
    command = f'`make monitors MONITORS="--iterations {terms.iterations} --seed {terms.seed}"`'
    machine = f"{platform.machine()} with {os.cpu_count()} cores, load average {load:.1f} (15 minutes)"
    lines = [
        f"# Monitor run on {terms.broker} and {terms.ledger}, seed {terms.seed}",
        "",
        f"{command}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, {result.seconds:.0f} s.",
        "",
        f"**Verdict: {verdict}.** One `health_monitor_workflow`, 60 and 5 minutes run as 60 and 5 milliseconds, a target that fails",
        "by a seeded schedule (also by not answering), events at random moments. What must be told comes from the target's own log.",
        "",
        *result.wrong,
        "| what | how many |",
        "|---|---|",
        f"| checks that the target saw | {result.checks} |",
        f"| checks that did not reach it in time: failures too | {result.unanswered} |",
        *(f"| alerts: {severity} | {count} |" for severity, count in sorted(result.alerts.items())),
        *(f"| events {kind} | {count} |" for kind, count in sorted(result.events.items())),
        f"| repetitions among the messages | {result.repetitions} |",
        f"| changes that were in force at a check | {result.changes_seen} |",
        "",
        "The history is the largest of twelve looks at each point; memory is the resident set.",
        "",
        "| " + " | ".join(heading for heading, _ in HEADINGS) + " |",
        "|---" * len(HEADINGS) + "|",
    ]
    for point in result.points:
        values = [getattr(point, name) for _, name in HEADINGS]
        lines.append("| " + " | ".join(f"{value:.1f}" if isinstance(value, float) else str(value) for value in values) + " |")
    return "\n".join([*lines, ""])
