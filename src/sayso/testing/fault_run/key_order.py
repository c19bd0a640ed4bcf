"""Order per key: what one sender put on a partition in an order has got into the ledger, and been used, in that order.

In: what was sent, in order, and each message's number in the ledger. Out: findings. Only a broker that keeps order is judged: Kafka,
where the business key chooses the partition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sayso.simulator.finding import Finding
from sayso.simulator.observed import FinalState, Intent, Sent

Place = tuple[str, str]
"""Topic and digest."""


def check_order(sent: Iterable[Sent], numbers: Mapping[Place, int], states: Iterable[FinalState]) -> Iterator[Finding]:
    """Numbers grow with each new message of a (topic, key); of two opposite decisions the first one counts."""
    state_of = {(row.topic, row.digest): row.state for row in states}
    by_key: dict[tuple[str, str], list[Sent]] = defaultdict(list)
    for one in sent:
        by_key[one.topic, one.key].append(one)
    for (topic, key), messages in by_key.items():
        found = [numbers[one.topic, one.digest] for one in messages if (one.topic, one.digest) in numbers]
        if found != sorted(found):
            yield Finding("out of order", f"{topic} {key}", f"numbers {found} in the order in which they were sent")
        decisions = [one for one in messages if one.intent in (Intent.APPROVE, Intent.REJECT)]
        if len({one.intent for one in decisions}) == 2 and state_of.get((topic, decisions[0].digest)) != "consumed":
            yield Finding("out of order", f"{topic} {key}", f"{decisions[0].intent} was sent first, and did not count")
