"""A world in which things get old and are pruned."""

from __future__ import annotations

import json

from ledger_world import DECISION, PAYMENT, PURCHASE, World, cloudevent, purchase

from sayso.ledger.pruning import Pruned
from sayso.ledger.schema import (
    cases,
    metadata,
    notices,
    outbox,
)
from sayso.prune import prune

FAR = 4_102_444_800_000  # in the year 2100


class Attic(World):
    """A world in which things get old."""

    def deliver_everything(self) -> None:
        """Outbox and notices are done."""
        self.change(outbox, published_at_ms=outbox.c.created_at_ms, due_at_ms=None)
        self.change(notices, sent_at_ms=notices.c.created_at_ms, due_at_ms=None)

    def finish(self, key: str = "PO-1") -> dict[str, bytes]:
        """A purchase from its request to its end; returns its events' bytes by topic."""
        sent = {
            "purchases": cloudevent(PURCHASE, purchase(key), f"{key}-asked"),
            "approvals": cloudevent(DECISION, {"order_id": key, "approved": True, "approver": "bob"}, f"{key}-decided"),
            "payments": cloudevent(PAYMENT, {"order_id": key, "amount": 1200, "currency": "EUR"}, f"{key}-paid"),
        }
        for topic, body in sent.items():
            self.receive(topic, body)
            self.route()
        self.drive()
        row = next(row for row in self.rows(cases) if row.key == key)
        mine = [event.seq for event in self.events if event.instance_id == row.instance_id and event.state == "delivered"]
        ref = json.loads(row.input)["case"]
        decision = {"decision": "approve", "decided_by": "bob"}
        self.step("place_order", ref=ref, used=mine[:1], decision=decision)
        self.close(ref=ref, used=mine[1:])
        self.deliver_everything()
        return sent

    def prune(self, before_ms: int = FAR) -> Pruned:
        pruned = Pruned()
        for done in prune(self.ledger, None, before_ms, actor="alice"):
            pruned = done.pruned
        return pruned

    def count(self) -> dict[str, int]:
        return {table.name: len(self.rows(table)) for table in metadata.sorted_tables if self.rows(table)}
