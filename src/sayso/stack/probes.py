"""Questions that tell whether a server is ready.

In: an address. Out: a `Probe`. Invariant: a probe never raises for a server that is not there yet, and never waits longer than
`PROBE_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx2

from sayso.stack.ports import HOST
from sayso.stack.process import Probe

PROBE_SECONDS = 2.0


async def answer_of(probe: Probe) -> str:
    """What the probe says; an error is an answer too."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):  # not wait_for, which may swallow a cancellation
            return await probe()
    except TimeoutError:
        return "does not answer"
    except (OSError, httpx2.TransportError):
        return "does not listen yet"
    except Exception as error:  # noqa: BLE001 - a half-started server may answer anything; a person must see it
        return f"{type(error).__name__}: {error}"


def listens(port: int) -> Probe:
    """Ready when the port accepts a connection."""

    async def probe() -> str:
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        await writer.wait_closed()
        return ""

    return probe


def answers(port: int, request: bytes, response: bytes) -> Probe:
    """Ready when the server answers `request` with a line that begins with `response`."""

    async def probe() -> str:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(request)
            line = await reader.readline()
        finally:
            writer.close()
        return "" if line.startswith(response) else f"answers {line.decode(errors='replace').strip()[:80]!r}"

    return probe


def http_ok(port: int, path: str) -> Probe:
    """Ready when a GET is answered with 2xx."""

    async def probe() -> str:
        status = (await get(port, path)).status_code
        return "" if 200 <= status < 300 else f"{path} answers {status}"

    return probe


async def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    """GET from 127.0.0.1, past any proxy of the environment."""
    async with httpx2.AsyncClient(trust_env=False, timeout=PROBE_SECONDS) as client:
        return await client.get(f"http://{HOST}:{port}{path}", headers=headers)
