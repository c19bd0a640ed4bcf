"""Tricks of somebody who reads the topic: honest decisions, captured and made into others.

Out: an event a call, each a decision that nobody may take.
"""

from __future__ import annotations

import json

from sayso.testing.forging.writer import BASE64URL, Event, Writer


class Eavesdropper(Writer):
    """With captured decisions."""

    def flipped(self) -> Event:
        event = self.signed(self.honest(), self.rng.choice((self.company.erp, self.company.till)))
        token = event["signature"]
        place = self.rng.choice([at for at, character in enumerate(token) if character != "."])
        if self.rng.random() < 0.1:
            place = len(token) - 1  # its last bits mean nothing to a decoder
        other = self.rng.choice([character for character in BASE64URL if character != token[place]])
        return event | {"signature": token[:place] + other + token[place + 1 :]}

    def flipped_anywhere(self) -> bytes:
        body = bytearray(json.dumps(self.signed(self.honest())).encode())
        body[self.rng.randrange(len(body))] ^= 1 << self.rng.randrange(8)
        return bytes(body)

    def cut(self) -> Event:
        event = self.signed(self.honest())
        token = event["signature"]
        header, claims, proof = token.split(".")
        place = self.rng.randrange(len(token))
        made = (
            token[:place],
            token[place:],
            token + "=",
            token + token,
            f" {token}",
            f"{token}\n",
            f"{token}.{proof}",
            f"{header}..{proof}",
            f"{header}.{claims}.",
            f"{header}=.{claims}.{proof}",
            f"{header}.{claims}.{proof[:-4]}",
            token.replace(".", "%2E"),
            json.dumps({"protected": header, "payload": claims, "signature": proof}),
        )
        return event | {"signature": self.rng.choice(made)}

    def spliced(self) -> Event:
        yes, no = self.signed(self.honest()), self.signed(self.honest(approved=False))
        first, second = yes["signature"].split("."), no["signature"].split(".")
        return yes | {"signature": ".".join((first[0], first[1], second[2]))}

    def carried_over(self) -> Event:
        captured = self.signed(self.honest())
        changed = self.rng.choice(({"id": "another"}, {"source": "/forger"}, {"id": captured["id"].upper()}, {"source": "/erp/"}))
        return captured | changed

    def changed_after(self) -> Event:
        captured = self.signed(self.honest(approved=False))
        said = self.rng.choice(
            (
                {"approved": True},
                {"approved": None},
                {"approved": 1},
                {"approver": "carol"},
                {"approver": "BOB"},
                {"approver": None},
                {"reason": "never said"},
                {"reason": None},
                {"order_id": "PO-2", "key": "PO-2"},
                {"workflow": "order_saga"},
            )
        )
        data = {name: value for name, value in (captured["data"] | said).items() if value is not None}
        return captured | {"data": data}
