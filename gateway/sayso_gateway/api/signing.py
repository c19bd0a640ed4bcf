"""The gateway's signature on decisions: it vouches for who is logged in.

In: a decision as correlation understands it, and its case. Out: the event with a signature, where its binding wants one. The key is
that of the sender which `gateway.sender` names in `senders.yaml`; the file is read again when it changes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sayso.contracts.signed import request_hash
from sayso.correlation.bindings import Bindings
from sayso.correlation.verdict import Resume
from sayso.errors import ConfigurationError
from sayso.ledger.queries.views import CaseView
from sayso.settings import Settings
from sayso.signing.pen import About, Pen, with_signature
from sayso.signing.senders import FILE_NAME, LiveSenders
from sayso.signing.startup import check_senders


class Signatory:
    """Signs what has to be signed."""

    def __init__(self, settings: Settings, bindings: Bindings) -> None:
        """`ConfigurationError` when decisions have to be signed and the gateway has no key for that."""
        self._sender = settings.gateway.sender
        self._audience = settings.signing.audience
        self._senders = LiveSenders(settings.config_dir / FILE_NAME, settings.state_dir)
        check_senders(bindings, settings, may_create=True)
        if bindings.needs_signatures:
            self._pen()

    def signed(self, verdict: Resume, case: CaseView, body: bytes, now: float) -> bytes:
        """The event as it is to be published."""
        if verdict.treatment.signed_on is None:
            return body
        about = About(request_hash(case.request), case.instance_id)
        return with_signature(body, self._pen().sign(verdict, datetime.fromtimestamp(now, UTC), about))

    def _pen(self) -> Pen:
        try:
            return Pen(self._senders.current().pen_of(self._sender), self._audience)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the gateway cannot sign decisions as {self._sender} (setting gateway.sender; docs/signing.md): {error}"
            ) from error
