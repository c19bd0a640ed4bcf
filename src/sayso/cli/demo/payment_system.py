"""The payment system of another company (examples/partners): it captures money, and tells of it with a signed webhook.

In: the running stack. Out: a client of that system; None when the stack has no gateway that it could send to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from sayso.errors import TransientError
from sayso.stack.state import StackState

SOURCE = "/partners/payments"
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Told:
    """A webhook that the gateway took."""

    event_id: str
    address: str
    source: str = SOURCE


@dataclass(frozen=True)
class PaymentSystem:
    """What a shop and a customer do there."""

    url: str
    gateway_url: str

    def capture(self, order_id: str, payment: dict[str, object]) -> None:
        """The customer pays."""
        body = {"order_id": order_id, "amount": payment["amount"], "currency": payment["currency"]}
        self._call("POST", "/captures", json=body, headers={"Idempotency-Key": str(payment["payment_id"])})

    def told(self, order_id: str) -> Told | None:
        """The webhook about this order, once the gateway has accepted it."""
        found = self._call("GET", "/announcements", params={"subject": order_id})["announcements"]
        sent = [one for one in found if one["channel"] == "webhook" and one["state"] == "told"]
        return Told(sent[0]["event_id"], f"{self.gateway_url}/webhooks/partners") if sent else None

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = httpx2.request(method, self.url + path, timeout=TIMEOUT_SECONDS, trust_env=False, **more)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise TransientError(f"the payment system at {self.url} does not answer: {error}") from error
        document: dict[str, Any] = answer.json()
        return document


def payment_system_of(state: StackState) -> PaymentSystem | None:
    """The one of this stack."""
    return PaymentSystem(state.partners_url, state.gateway_url) if state.gateway_url else None
