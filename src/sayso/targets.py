"""Looking at a target: one HTTP GET for a monitor, with a deadline for the whole of it.

In: an address. Out: `Seen`: the status, or why there is none, and a JSON answer if one is wanted. It never raises for what a target
does. Invariants: only allowed addresses are called (`contracts.targets`), by the settings of now, whatever a case's plan says; no
redirect is followed and no proxy asked, so that nobody is led elsewhere; no more of an answer is read than may be.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx2

from sayso.contracts.targets import why_not_allowed

ANSWER_BYTES_MAX = 64 * 1024
WORDS_MAX = 200
KEY_CHARACTERS = "-._~:/@#|,;=+"
"""What stands in the header as it is, with letters and digits; the rest of a key is percent-encoded, so any text can be one."""


@dataclass(frozen=True)
class Seen:
    """What a target answered; `error` says why there is no status."""

    status: int | None
    error: str | None = None
    answer: Any = None


class Targets:
    """The targets that may be looked at; safe for many threads."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = tuple(allowed)

    def look(self, target: str, timeout_seconds: float, key: str, *, read: bool = False) -> Seen:
        """GET it; with `read`, its JSON too. `key` names the check: a check that is repeated has the same."""
        refusal = why_not_allowed(target, self._allowed)
        return Seen(None, refusal) if refusal is not None else asyncio.run(_get(target, timeout_seconds, key, read=read))


@cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes longer than a check."""
    return httpx2.create_ssl_context(trust_env=False)


async def _get(target: str, timeout_seconds: float, key: str, *, read: bool) -> Seen:
    """The client's own time-outs are for each read: a target that sends a byte a second would never meet them."""
    headers = {"Idempotency-Key": quote(key, safe=KEY_CHARACTERS)}
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            httpx2.AsyncClient(timeout=timeout_seconds, trust_env=False, verify=_certificates()) as client,
            client.stream("GET", target, headers=headers, follow_redirects=False) as response,
        ):
            return Seen(response.status_code, answer=await _json_of(response) if read else None)
    except TimeoutError:
        return Seen(None, f"no answer within {timeout_seconds:g} s")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError) as error:
        return Seen(None, f"{type(error).__name__}: {error}"[:WORDS_MAX])


async def _json_of(response: httpx2.Response) -> Any:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
