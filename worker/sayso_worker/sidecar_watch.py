"""The watch over the sidecar: ends a wedge of Dapr's workflow engine.

In: whether our stream of work is established, and how many workers the sidecar counts. Out: a sidecar that was asked to end, when it
has not counted our stream for `WEDGED_SECONDS`; whoever started it starts it again.

When the last worker disconnects in the middle of a workflow's turn, daprd 1.18 can wait for that turn while the turn waits for a
worker: the next worker's stream is accepted, and nothing runs any more (dapr/dapr#10408). A restart of daprd loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, Self

import httpx2
import structlog
from dapr.conf import settings as dapr_settings

log = structlog.get_logger()
WEDGED_SECONDS = 10.0
CALL_SECONDS = 3.0


class Sidecar(Protocol):
    """What the watch needs of daprd."""

    def connected_workers(self) -> int | None:
        """How many workers it counts; None when it does not answer."""

    def shut_down(self) -> None:
        """Ask it to end."""


class DaprSidecar:
    """Daprd's HTTP API on this app's own sidecar."""

    def __init__(self) -> None:
        token = str(dapr_settings.DAPR_API_TOKEN or "")
        self._client = httpx2.Client(
            base_url=f"http://{dapr_settings.DAPR_RUNTIME_HOST}:{dapr_settings.DAPR_HTTP_PORT}/v1.0",
            headers={"dapr-api-token": token} if token else {},
            timeout=CALL_SECONDS,
            trust_env=False,
        )

    def connected_workers(self) -> int | None:
        """See `Sidecar.connected_workers`."""
        try:
            metadata = self._client.get("/metadata").raise_for_status().json()
        except (httpx2.HTTPError, ValueError):
            return None
        return int((metadata.get("workflows") or {}).get("connectedWorkers", 0))

    def shut_down(self) -> None:
        """See `Sidecar.shut_down`."""
        try:
            self._client.post("/shutdown").raise_for_status()
        except httpx2.HTTPError as error:
            log.warning("the sidecar was not asked to end, will be tried again", error=str(error))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SidecarWatch:
    """Looks once at each call of `work`."""

    def __init__(self, is_streaming: Callable[[], bool], sidecar: Sidecar, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_streaming = is_streaming
        self._sidecar = sidecar
        self._clock = clock
        self._uncounted_since: float | None = None

    def work(self) -> bool:
        """Ask the sidecar to end when it is wedged; there is never more to do at once."""
        # A stream that is being connected again, after daprd was away, is not one that daprd forgot.
        if not self._is_streaming() or self._sidecar.connected_workers() != 0:
            self._uncounted_since = None
        elif self._uncounted_since is None:
            self._uncounted_since = self._clock()
        elif self._clock() - self._uncounted_since >= WEDGED_SECONDS:
            log.error("the sidecar gives no work to anybody (dapr/dapr#10408): asked it to end, it is to be started again")
            self._uncounted_since = None
            self._sidecar.shut_down()
        return False
