"""Forged decisions, trick by trick in turn.

In: a company and a seed. Out: the bytes of events that nobody may take, each with the name of its trick.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from sayso.testing.forging.eavesdropper import Eavesdropper
from sayso.testing.forging.insider import Insider
from sayso.testing.forging.outsider import Outsider
from sayso.testing.forging.writer import Event


@dataclass
class Forger(Outsider, Eavesdropper, Insider):
    """Makes forgeries by the dozen; the same seed makes the same tricks."""

    def forgeries(self, count: int) -> Iterator[tuple[str, bytes]]:
        """So many, trick by trick in turn: each with its name."""
        for number in range(count):
            name, trick = self._tricks[number % len(self._tricks)]
            yield name, trick()

    @cached_property
    def _tricks(self) -> list[tuple[str, Callable[[], bytes]]]:
        made: list[tuple[str, Callable[[], Event | bytes]]] = [
            ("not signed", self.unsigned),
            ("a signature that is no text", self.no_text),
            ("algorithm none", self.none),
            ("the public key as a shared secret", self.public_as_secret),
            ("another key under a known id", self.key_confusion),
            ("an unknown key id", self.unknown_key),
            ("header members that change the meaning", self.header_members),
            ("names twice in header or claims", self.twice),
            ("one character changed", self.flipped),
            ("one bit of the whole event changed", self.flipped_anywhere),
            ("cut, doubled or padded", self.cut),
            ("parts of two honest ones", self.spliced),
            ("a huge token", self.huge),
            ("random bytes", self.noise),
            ("an honest one under another event", self.carried_over),
            ("honest, then changed", self.changed_after),
            ("a revoked key", self.revoked),
            ("somebody else's decision", self.for_another),
            ("a sender without the right", self.no_right),
            ("as another sender", self.as_another),
            ("another audience", self.foreign_audience),
            ("another time", self.other_time),
            ("another case or request", self.foreign_case),
            ("a claim missing or unknown", self.claims_amiss),
            ("the requester's own", self.own_request),
        ]
        return [(name, self._encoded(trick)) for name, trick in made]

    def _encoded(self, trick: Callable[[], Event | bytes]) -> Callable[[], bytes]:
        def encoded() -> bytes:
            made = trick()
            return made if isinstance(made, bytes) else json.dumps(made).encode()

        return encoded
