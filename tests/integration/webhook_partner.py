"""A payment system that tells of its payments with signed webhooks, and repeats what is not accepted, as they do.

In: a running system. Out: what it was answered. It signs with the library of Standard Webhooks.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from running_system import RunningSystem
from standardwebhooks import Webhook

PAUSE_SECONDS = 0.2
TIMEOUT_SECONDS = 30.0


class WebhookPartner:
    """The sender `partners` of config/webhooks.yaml."""

    def __init__(self, system: RunningSystem) -> None:
        self._url = f"{system.state.gateway_url}/webhooks/partners"
        self._hook = Webhook((Path(system.state.state_dir) / "webhooks" / "partners.secret").read_text().strip())

    def send(self, order: str) -> httpx2.Response:
        """Tell once that this order was paid."""
        now = datetime.now(UTC)
        data = {"order_id": order, "payment_id": f"pay-{order}", "amount": "1250.00", "currency": "USD"}
        body = json.dumps({"type": "com.acme.payment.captured.v1", "data": data})
        headers = {
            "webhook-id": f"pay-{order}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._hook.sign(f"pay-{order}", now, body),
        }
        return httpx2.post(self._url, content=body.encode(), headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

    def send_until_accepted(self, order: str, deadline_seconds: float) -> list[int]:
        """Tell until it is accepted: all answers."""
        deadline = time.monotonic() + deadline_seconds
        answers = [self.send(order).status_code]
        while answers[-1] != 202 and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
            answers.append(self.send(order).status_code)
        return answers
