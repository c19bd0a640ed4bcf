"""Correlation of an event that is in the ledger, with the bindings and senders of today."""

from __future__ import annotations

from functools import partial

from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.ledger import Ledger
from sayso.ledger.dead import Judged
from sayso.ledger.queries.dead import dead_bytes
from sayso.signing.notary import Vouch


def judged(ledger: Ledger, bindings: Bindings, vouch: Vouch, seq: int) -> Judged | None:
    """What the bindings say of its bytes, and the notary of its signature, outside any transaction; None when the event is gone."""
    found = ledger.read(partial(dead_bytes, seq=seq))
    if found is None:
        return None
    return Judged(seq, found.digest, vouch(correlate(bindings, found.topic, found.original), found.received_at))
