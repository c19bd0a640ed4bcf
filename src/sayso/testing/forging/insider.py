"""Tricks of senders: with a revoked key, with one that may do less, or with the right one about something else.

Out: an event a call, each a decision that nobody may take.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sayso.testing.forging.company import OTHER_HASH
from sayso.testing.forging.writer import Event, Writer


class Insider(Writer):
    """With keys that are in `senders.yaml`."""

    def revoked(self) -> Event:
        return self.signed(self.honest(), self.company.stolen)

    def for_another(self) -> Event:
        key = self.rng.choice((self.company.clerk, self.company.till))
        return self.signed(self.honest(approver=self.rng.choice(("mallory", "eve", "dave bob"))), key)

    def no_right(self) -> Event:
        return self.signed(self.honest(), self.company.shop)

    def as_another(self) -> Event:
        return self.signed(self.honest(), self.rng.choice((self.company.clerk, self.company.shop)), iss="erp")

    def foreign_audience(self) -> Event:
        return self.signed(
            self.honest(), aud=self.rng.choice(("test.example", "shop.example.", "SHOP.EXAMPLE", "", "*", ["shop.example"]))
        )

    def other_time(self) -> Event:
        now = int(self.case.seconds)
        day = 86_400
        iat, exp = self.rng.choice(
            (
                (now - 2 * day, now - day),
                (now - 7200, now - 3600),
                (now + 3600, now + day),
                (now, now + 8 * day),
                (now + 10, now),
                (now, 10**18),
                (-1, now),
                (now, str(now + 60)),
                (now, True),
                (0, now + day),
            )
        )
        return self.signed(self.honest(), iat=iat, exp=exp)

    def foreign_case(self) -> Event:
        right = {"workflow": self.case.workflow, "key": self.case.key}
        changed: dict[str, Any] = self.rng.choice(
            (
                {"case": right | {"key": "PO-2"}},
                {"case": right | {"workflow": "order_saga"}},
                {"case": {"instance": "po-PO-2-1-abc123"}},
                {"case": right | {"instance": "po-PO-1-2-abc123"}},
                {"case": {"workflow": self.case.workflow}},
                {"case": {}},
                {"case": None},
                {"request_hash": OTHER_HASH},
                {"request_hash": self.case.request_hash.upper()},
                {"request_hash": None},
                {"request_hash": ""},
            )
        )
        return self.signed(self.honest(), **changed)

    def claims_amiss(self) -> Event:
        event = self.honest()
        changed: dict[str, Any] = self.rng.choice(
            [
                {"iss": None},
                {"aud": None},
                {"jti": None},
                {"source": None},
                {"type": None},
                {"iat": None},
                {"exp": None},
                {"decision": None},
                {"decision": {}},
                {"decision": {"approved": True}},
                {"decision": []},
                {"nbf": 0},
                {"data_hash": hashlib.sha256(b"").hexdigest(), "decision": None},
            ]
        )
        return self.signed(event, **changed)

    def own_request(self) -> Event:
        return self.signed(self.honest(approver=self.rng.choice(("alice", "ALICE", " alice\u200b"))))
