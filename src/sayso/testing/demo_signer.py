"""Plays the systems whose decisions are signed: remembers what was asked for, and signs what is decided about it.

In: the events of other systems, as they write them. Out: the same bytes, with a signature where the bindings demand one. The
same bytes always become the same bytes, so that a repetition stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sayso.contracts.signed import request_hash
from sayso.correlation.bindings import Bindings, load_bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Resume, Start
from sayso.settings import Settings
from sayso.signing.notary import ATTRIBUTE
from sayso.signing.pen import About, Pen, with_signature
from sayso.signing.senders import FILE_NAME, load_senders
from sayso.stack.plan import UpOptions

SENDER = "demo"
NOTHING = request_hash({})
"""What a decision is about whose request nobody has seen."""


class DemoSigner:
    """Signs with one pen; without a pen, as where nothing has to be signed, everything passes as it is."""

    def __init__(self, bindings: Bindings, pen: Pen | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._bindings = bindings
        self._pen = pen if bindings.needs_signatures else None
        self._now = now
        self._asked: dict[tuple[str, str], str] = {}
        self._signed: dict[bytes, bytes] = {}

    @classmethod
    def of(cls, options: UpOptions, settings: Settings | None = None) -> Self:
        """With the local key of a running stack."""
        path = options.config_dir / "bindings.yaml"
        bindings = load_bindings(path) if path.exists() else Bindings(())
        if not bindings.needs_signatures:
            return cls(bindings, None)
        key = load_senders(options.config_dir / FILE_NAME, options.state_dir).pen_of(SENDER)
        return cls(bindings, Pen(key, (settings or Settings()).signing.audience))

    @classmethod
    def beside(cls, config_dir: Path, state_dir: Path) -> Self:
        """The same for a stack that is known by its folders."""
        return cls.of(UpOptions(project=config_dir.parent, state_dir=state_dir))

    def note(self, topic: str, body: bytes) -> None:
        """Remember the request, if it is one; the first one of a key opens its case."""
        if self._pen is None:
            return
        verdict = correlate(self._bindings, topic, body)
        if isinstance(verdict, Start):
            self._asked.setdefault((verdict.workflow, verdict.key), request_hash(verdict.request))

    def remember(self, workflow: str, key: str, request: Mapping[str, Any]) -> None:
        """The request of a case that is there already, as its workflow has it."""
        self._asked[workflow, key] = request_hash(request)

    def sign(self, topic: str, body: bytes, instance: str | None = None) -> bytes:
        """The bytes to send; `instance` is the case that is meant, where it is not the first of its key."""
        if self._pen is None:
            return body
        self.note(topic, body)
        if body not in self._signed:
            self._signed[body] = self._with_signature(topic, body, instance)
        return self._signed[body]

    def _with_signature(self, topic: str, body: bytes, instance: str | None) -> bytes:
        verdict = correlate(self._bindings, topic, body)
        if (
            self._pen is None
            or not isinstance(verdict, Resume)
            or verdict.treatment.signed_on is None
            or ATTRIBUTE in verdict.event.attributes
        ):
            return body
        about = About(self._asked.get((verdict.workflow, verdict.key), NOTHING), instance)
        return with_signature(body, self._pen.sign(verdict, self._now(), about))
