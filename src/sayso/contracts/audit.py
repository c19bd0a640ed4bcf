"""What Sayso says about its own audit chain."""

from __future__ import annotations

from datetime import datetime

from sayso.contracts.payload import Payload


class AuditAnchored(Payload):
    """`sayso.audit.anchored.v1` on `audit-anchors`: how far the audit chain had come, to be kept where nobody can change it."""

    ledger: str
    number: int
    seal: str
    anchored_at: datetime
