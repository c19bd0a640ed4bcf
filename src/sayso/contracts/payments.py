"""What payment systems say, and what Sayso asks of them."""

from __future__ import annotations

from sayso.contracts.cases import LateAnswer
from sayso.contracts.money import DEFAULT_CURRENCY, Amount, Currency
from sayso.contracts.payload import Key, Payload


class PaymentCaptured(Payload):
    """`com.acme.payment.captured.v1`: `amount` in `currency` was captured for the order; a purchase, unless `workflow` is another."""

    order_id: Key
    payment_id: Key | None = None
    amount: Amount
    currency: Currency = DEFAULT_CURRENCY
    workflow: str | None = None


class PaymentFailed(Payload):
    """`com.acme.payment.failed.v1`: the payment for the order failed for good."""

    order_id: Key
    payment_id: Key | None = None
    reason: str | None = None
    workflow: str | None = None


class PaymentRequested(Payload):
    """`sayso.payment.requested.v1` on `payment-commands`: please capture this amount for this order."""

    order_id: Key
    case: str
    amount: Amount
    currency: Currency
    idempotency_key: str


class PaymentRefundRequested(LateAnswer):
    """`sayso.payment.refund-requested.v1` on `payment-commands`: no case uses this captured payment, please give it back."""

    order_id: Key
    payment_id: Key | None = None
    amount: Amount
    currency: Currency
