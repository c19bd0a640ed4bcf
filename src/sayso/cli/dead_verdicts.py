"""Correlation of an event that is in the ledger, with the bindings of today."""

from __future__ import annotations

from functools import partial

from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.ledger import Ledger
from sayso.ledger.dead import Judged
from sayso.ledger.queries.dead import dead_bytes


def judged(ledger: Ledger, bindings: Bindings, seq: int) -> Judged | None:
    """What the bindings say of its bytes, outside any transaction; None when the event is gone."""
    found = ledger.read(partial(dead_bytes, seq=seq))
    if found is None:
        return None
    topic, original, digest = found
    return Judged(seq, digest, correlate(bindings, topic, original))
