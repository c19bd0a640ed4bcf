"""Services: where effects happen. The client that activities call, and the file that says where each service is.

In: `config/services.yaml`; a path, a JSON-ready body and the effect's idempotency key. Out: the service's answer, or an error
divided by what the caller does: `TransientError` (same key again) or `RefusedError` (never). Its text is the service's own words.
Invariant: every call carries its idempotency key, so that calling again is safe.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import urllib3
from pydantic import Field
from urllib3.util import parse_url

from sayso.config_file import ConfigModel, did_you_mean, load_config
from sayso.errors import ConfigurationError, RefusedError, TransientError
from sayso.targets import KEY_CHARACTERS, Targets

CONNECTIONS_MAX = 64
KEEPALIVE_SECONDS = 4.0
"""Shorter than the 5 seconds after which common servers close an idle connection: a request never meets that close."""

DETAIL_CHARACTERS_MAX = 1_000
TRANSIENT_STATUSES = frozenset({408, 425, 429})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Never through the proxy that HTTP_PROXY names."""

HEADERS: Mapping[str, str] = MappingProxyType(
    {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "sayso"}
)


class Service(ConfigModel):
    """One entry of `services.yaml`."""

    url: str = Field(pattern=r"^https?://[^/\s]+", description="Base URL; a call's path is added to it.")
    timeout_seconds: float = Field(10, gt=0, le=600, description="Deadline of connecting and of each read of one call.")
    local_command: tuple[str, ...] = Field((), description="How `sayso up` starts it; `--port N --data DIR` is added.")
    webhook_source: str | None = Field(
        None,
        description="Source of webhooks.yaml that it is. `sayso up` tells it where to send (NAME_WEBHOOK_URL, NAME_WEBHOOK_SECRET).",
    )


class Services(ConfigModel):
    """The whole file."""

    services: dict[str, Service] = Field(min_length=1)

    def service(self, name: str) -> Service:
        """The entry of this name; `ConfigurationError` names the nearest one."""
        if name not in self.services:
            raise ConfigurationError(f'services.yaml has no service "{name}"{did_you_mean(name, self.services)}')
        return self.services[name]


def load_services(path: Path) -> Services:
    """Read and check `services.yaml`; `ConfigurationError` names file, line and the nearest valid word."""
    services, _ = load_config(path, Services)
    return services


class PartnerClient:
    """Calls one service; safe for many threads at once. Close it, or use it as a context manager."""

    def __init__(self, base_url: str, timeout_seconds: float, targets: Targets | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.targets = targets or Targets()
        """What monitors may look at; nothing unless it is said."""
        self._timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)
        self._seconds = timeout_seconds
        self._pool = _way_to(self.base_url).connection_from_url(self.base_url)
        self._pool.ConnectionCls = _kept_briefly(self._pool.ConnectionCls)
        self._prefix = parse_url(self.base_url).path or ""

    def call(self, path: str, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        """POST `body` to `path`: the service's answer.

        Raises `TransientError` if the service cannot be reached, answers 5xx, 408, 425 or 429, or answers no JSON object; its
        effect may have happened, so call again with the same key. Raises `RefusedError` for every other answer than 2xx.
        """
        url = self.base_url + path
        headers = {**HEADERS, "Idempotency-Key": quote(idempotency_key, safe=KEY_CHARACTERS)}
        sent = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        try:
            response = self._pool.urlopen(
                "POST",
                self._prefix + path,
                body=sent,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=self._timeout,
                pool_timeout=ceil(self._seconds),
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{url} did not answer: {type(error).__name__}: {error}") from error
        if response.status >= 500 or response.status in TRANSIENT_STATUSES:
            raise TransientError(_words_of(url, response))
        if not 200 <= response.status < 300:
            raise RefusedError(_words_of(url, response))
        answer = _json_of(response)
        if not isinstance(answer, dict):
            raise TransientError(f"{url} answered {response.status} without a JSON object")
        return answer

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def resource_path(*segments: str) -> str:
    """The path of these segments, whatever they contain: `resource_path("orders", "a/b", "cancel")` is `/orders/a%2Fb/cancel`."""
    return "".join("/" + quote(segment, safe="").replace(".", "%2E") for segment in segments)


def _way_to(base_url: str) -> urllib3.PoolManager:
    """Straight to the service, or through the proxy that the environment names for it."""
    url = parse_url(base_url)
    host = (url.host or "").strip("[]")
    proxies = {} if host in LOOPBACK or proxy_bypass(url.netloc or host) else getproxies()
    proxy = proxies.get(url.scheme or "") or proxies.get("all")
    if not proxy:
        return urllib3.PoolManager(maxsize=CONNECTIONS_MAX, block=True)
    return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", maxsize=CONNECTIONS_MAX, block=True)


def _kept_briefly(kind: Any) -> Any:
    """Connections of this kind that count as dropped when nothing has been answered on them for a while."""

    class KeptBriefly(kind):  # type: ignore[misc] # made of what the pool has: plain or TLS
        answered_at = 0.0

        def getresponse(self) -> Any:
            response = super().getresponse()
            self.answered_at = time.monotonic()
            return response

        @property
        def is_connected(self) -> bool:
            return bool(super().is_connected) and time.monotonic() - self.answered_at < KEEPALIVE_SECONDS

    return KeptBriefly


def _words_of(url: str, response: urllib3.BaseHTTPResponse) -> str:
    """What the service says (`detail` of its problem document), else which status it answered."""
    problem = _json_of(response)
    detail = problem.get("detail") if isinstance(problem, dict) else None
    if isinstance(detail, str) and detail.strip():
        return detail.strip()[:DETAIL_CHARACTERS_MAX]
    return f"{url} answered {response.status} {response.reason or ''}".rstrip()


def _json_of(response: urllib3.BaseHTTPResponse) -> Any:
    try:
        return json.loads(response.data)
    except ValueError:
        return None
