"""The watch over the sidecar: ends two wedges of Dapr's workflow engine.

In: whether our stream of work is established, how many workers the sidecar counts, whether its engine answers. Out: a sidecar that was
asked to end, when it has not counted our stream for `WEDGED_SECONDS`, or counts it and has let every call to its engine hang for
`HANGING_SECONDS`; whoever started it starts it again.

When the last worker disconnects in the middle of a workflow's turn, daprd 1.18 can wait for that turn while the turn waits for a
worker: the next worker's stream is accepted, and nothing runs any more (dapr/dapr#10408). When placement ends while a worker
registers, daprd can go on waiting for its answer, and starts and raises hang for minutes. A restart of daprd loses nothing.
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
HANGING_SECONDS = 30.0
CALL_SECONDS = 3.0
PROBE_SECONDS = 10.0
"""How long the engine has to answer, and how often it is asked."""
NOBODY = "sayso-watch"
"""An instance that does not exist: the engine says so at once, if it says anything."""


class Sidecar(Protocol):
    """What the watch needs of daprd."""

    def connected_workers(self) -> int | None:
        """How many workers it counts; None when it does not answer."""

    def engine_answers(self) -> bool | None:
        """Whether a call to its workflow engine is answered; None when the sidecar itself cannot be reached."""

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

    def engine_answers(self) -> bool | None:
        """See `Sidecar.engine_answers`. Whatever it says is an answer."""
        try:
            self._client.post(f"/workflows/dapr/{NOBODY}/raiseEvent/ping", json={}, timeout=PROBE_SECONDS)
        except httpx2.ReadTimeout:
            return False
        except httpx2.HTTPError:
            return None
        return True

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
        self._hanging_since: float | None = None
        self._asked_at: float | None = None

    def work(self) -> bool:
        """Ask the sidecar to end when it is wedged; there is never more to do at once."""
        # A stream that is being connected again, after daprd was away, is not one that daprd forgot.
        workers = self._sidecar.connected_workers() if self._is_streaming() else None
        if workers is None:
            self._uncounted_since = self._hanging_since = None
        elif workers == 0:
            self._hanging_since = None
            self._wait_for_count()
        else:
            self._uncounted_since = None
            self._ask_engine()
        return False

    def _wait_for_count(self) -> None:
        if self._uncounted_since is None:
            self._uncounted_since = self._clock()
        elif self._clock() - self._uncounted_since >= WEDGED_SECONDS:
            self._end("the sidecar gives no work to anybody (dapr/dapr#10408)")

    def _ask_engine(self) -> None:
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < PROBE_SECONDS:
            return
        self._asked_at = now
        if self._sidecar.engine_answers() is not False:
            self._hanging_since = None
        elif self._hanging_since is None:
            self._hanging_since = now
        elif self._clock() - self._hanging_since >= HANGING_SECONDS:
            self._end("the sidecar lets every call to its workflow engine hang")

    def _end(self, why: str) -> None:
        log.error("asked the sidecar to end, it is to be started again", why=why)
        self._uncounted_since = self._hanging_since = None
        self._sidecar.shut_down()
