"""Telling others, as an external payment system does: through a topic, by daprd's pub/sub API, and through a signed webhook.

In: the rows of `announcements.py`; environment variables. Out: HTTP calls, one channel not held up by the other.

| channel | where to |
|---|---|
| `topic` | `payments` of `PARTNERS_PUBSUB` (`pubsub`) at `DAPR_HTTP_ENDPOINT`, which `sayso up` sets; with `DAPR_API_TOKEN` if given |
| `webhook` | `PARTNERS_WEBHOOK_URL`: the CloudEvent, signed with `PARTNERS_WEBHOOK_SECRET` (`whsec_…`) as Standard Webhooks says |

A rule of `faults.py` for the resource `announcements` makes an attempt fail before (`status`) or after (`after`: told twice), or late.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx2
from announcements import Announcement, due, not_told, told

from faults import Faults, Target

TOPIC, WEBHOOK = "topic", "webhook"
PAYMENTS = "payments"
CONTENT_TYPE = "application/cloudevents+json"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that all of them have
SECRET_BYTES = range(24, 65)
TIMEOUT_SECONDS = 10.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Channels:
    """Where others hear of it; the empty text: nowhere."""

    topic_url: str = ""
    token: str = ""
    webhook_url: str = ""
    secret: bytes = b""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(name for name, url in ((TOPIC, self.topic_url), (WEBHOOK, self.webhook_url)) if url)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Channels:
        """Read the variables; ValueError for a webhook without a usable secret."""
        endpoint = environment.get("DAPR_HTTP_ENDPOINT", "").rstrip("/")
        pubsub = environment.get("PARTNERS_PUBSUB", "pubsub")
        webhook_url = environment.get("PARTNERS_WEBHOOK_URL", "")
        return cls(
            topic_url=f"{endpoint}/v1.0/publish/{pubsub}/{PAYMENTS}" if endpoint else "",
            token=environment.get("DAPR_API_TOKEN", ""),
            webhook_url=webhook_url,
            secret=_secret(environment.get("PARTNERS_WEBHOOK_SECRET", "")) if webhook_url else b"",
        )

    def request(self, one: Announcement) -> tuple[str, dict[str, str]]:
        """URL and headers of one attempt."""
        if one.channel == TOPIC:
            return self.topic_url, {"content-type": CONTENT_TYPE} | ({"dapr-api-token": self.token} if self.token else {})
        return self.webhook_url, {"content-type": CONTENT_TYPE, **webhook_headers(self.secret, one.event_id, one.body, time.time())}


def webhook_headers(secret: bytes, event_id: str, body: str, now: float) -> dict[str, str]:
    """The headers of Standard Webhooks: the id is the event's, so that a receiver knows a repetition."""
    moment = str(int(now))
    signed = hmac.new(secret, f"{event_id}.{moment}.{body}".encode(), hashlib.sha256).digest()
    return {"webhook-id": event_id, "webhook-timestamp": moment, "webhook-signature": f"v1,{base64.b64encode(signed).decode()}"}


@dataclass(frozen=True)
class Announcer:
    """Tells what waits, until it is cancelled."""

    database: sqlite3.Connection
    channels: Channels
    faults: Faults

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell, as long as the block runs."""
        async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            tasks = [asyncio.create_task(self._tell(name, client)) for name in self.channels.names]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, channel: str, client: httpx2.AsyncClient) -> None:
        while True:
            one = due(self.database, channel, time.time())
            if one is None:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            error = await self._attempt(one, client)
            if error is None:
                told(self.database, one)
            else:
                not_told(self.database, one, error, time.time())

    async def _attempt(self, one: Announcement, client: httpx2.AsyncClient) -> str | None:
        """Why it was not told, None when it was."""
        fault = await self.faults.strike_by_rule(Target("announcements", undo=False, subject=one.subject))
        if fault.before:
            return f"a rule said {fault.before}"
        url, headers = self.channels.request(one)
        try:
            answer = await client.post(url, content=one.body.encode(), headers=headers)
        except httpx2.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        if not answer.is_success:
            return f"answered {answer.status_code}"
        return f"a rule said {fault.after}" if fault.after else None


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"PARTNERS_WEBHOOK_SECRET is no base64: {error}") from error
    if not text.startswith(SECRET_PREFIX) or len(secret) not in SECRET_BYTES:
        raise ValueError(f"PARTNERS_WEBHOOK_SECRET must be {SECRET_PREFIX} and 24 to 64 bytes in base64")
    return secret
