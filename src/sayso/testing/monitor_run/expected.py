"""What a monitor must have told, worked out from the target's own log by the rules of docs/monitors.md and none of the monitor's code.

In: check number → what the target answered, and which change was in force. Out: (check number, severity), in order.
"""

from __future__ import annotations

from collections.abc import Mapping

from sayso.testing.monitor_run.target import Asked

CRITICAL_FROM = 3
UNSEEN = Asked(healthy=False, change=0)


def tells_recovery(change: int) -> bool:
    """What the change of this number says; before the first nobody is told."""
    return change % 2 == 1


def expected_alerts(asked: Mapping[int, Asked], checks: int) -> list[tuple[int, str]]:
    """A warning at the first failure, critical at each from the third on; a notice after failures if the change in force wants it.

    Of so many checks, one that the target has not seen got no answer from it.
    """
    alerts, failures = [], 0
    for number in range(1, checks + 1):
        seen = asked.get(number, UNSEEN)
        if seen.healthy:
            if failures and tells_recovery(seen.change):
                alerts.append((number, "info"))
            failures = 0
            continue
        failures += 1
        if failures == 1:
            alerts.append((number, "warning"))
        elif failures >= CRITICAL_FROM:
            alerts.append((number, "critical"))
    return alerts
