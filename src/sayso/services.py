"""Services: where effects happen. The client that activities call, and the file that says where each service is.

In: `config/services.yaml`; a path, a JSON-ready body and the effect's idempotency key. Out: the service's answer, or an error
divided by what the caller does: `TransientError` (same key again) or `RefusedError` (never). Its text is the service's own words.
Invariant: every call carries its idempotency key, so that calling again is safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
from pydantic import Field

from sayso.config_file import ConfigModel, did_you_mean, load_config
from sayso.errors import ConfigurationError, RefusedError, TransientError
from sayso.targets import KEY_CHARACTERS, Targets

CONNECTIONS_MAX = 64
KEEPALIVE_SECONDS = 4.0
"""Shorter than the 5 seconds after which common servers close an idle connection: a request never meets that close."""

DETAIL_CHARACTERS_MAX = 1_000
TRANSIENT_STATUSES = frozenset({408, 425, 429})
DIRECT: Mapping[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}
"""Loopback never goes through the proxy that HTTP_PROXY names."""


class Service(ConfigModel):
    """One entry of `services.yaml`."""

    url: str = Field(pattern=r"^https?://[^/\s]+", description="Base URL; a call's path is added to it.")
    timeout_seconds: float = Field(10, gt=0, le=600, description="Deadline of connecting and of each read of one call.")
    local_command: tuple[str, ...] = Field((), description="How `sayso up` starts it; `--port N --data DIR` is added.")


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
        self._client = httpx2.Client(
            timeout=timeout_seconds,
            limits=httpx2.Limits(
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=KEEPALIVE_SECONDS,
            ),
            mounts=DIRECT,
        )

    def call(self, path: str, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        """POST `body` to `path`: the service's answer.

        Raises `TransientError` if the service cannot be reached, answers 5xx, 408, 425 or 429, or answers no JSON object; its
        effect may have happened, so call again with the same key. Raises `RefusedError` for every other answer than 2xx.
        """
        headers = {"Idempotency-Key": quote(idempotency_key, safe=KEY_CHARACTERS)}
        try:
            response = self._client.post(self.base_url + path, json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise TransientError(f"{self.base_url}{path} did not answer: {type(error).__name__}: {error}") from error
        if response.status_code >= 500 or response.status_code in TRANSIENT_STATUSES:
            raise TransientError(_words_of(response))
        if not response.is_success:
            raise RefusedError(_words_of(response))
        answer = _json_of(response)
        if not isinstance(answer, dict):
            raise TransientError(f"{response.url} answered {response.status_code} without a JSON object")
        return answer

    def close(self) -> None:
        """Close the pooled connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def resource_path(*segments: str) -> str:
    """The path of these segments, whatever they contain: `resource_path("orders", "a/b", "cancel")` is `/orders/a%2Fb/cancel`."""
    return "".join("/" + quote(segment, safe="").replace(".", "%2E") for segment in segments)


def _words_of(response: httpx2.Response) -> str:
    """What the service says (`detail` of its problem document), else which status it answered."""
    problem = _json_of(response)
    detail = problem.get("detail") if isinstance(problem, dict) else None
    if isinstance(detail, str) and detail.strip():
        return detail.strip()[:DETAIL_CHARACTERS_MAX]
    return f"{response.url} answered {response.status_code} {response.reason_phrase}".rstrip()


def _json_of(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
