"""Where the stack is that a command talks to: ledger, sidecar, configuration.

In: the environment of a Sayso process if it is set, otherwise the `stack.json` that `sayso up` wrote, otherwise the settings.
Out: `StackAddress`. Nothing is opened before it is asked for, so that a command works as far as its parts are there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from sayso.errors import TransientError
from sayso.extensions import load_extensions
from sayso.settings import Settings, load_settings
from sayso.stack import leftovers
from sayso.stack.app_processes import no_proxy
from sayso.stack.state import StackState

if TYPE_CHECKING:
    from sayso.correlation.bindings import Bindings
    from sayso.engine import DaprEngine
    from sayso.ledger import Ledger
    from sayso.publisher import DaprPublisher
    from sayso.signing.notary import Notary

PROBE_SECONDS = 3.0
HTTP_PORT_DEFAULT = 3500


@dataclass(frozen=True)
class StackAddress:
    """What is known of the stack. `sidecar` is (host, gRPC port, HTTP port), None when nobody says that one runs."""

    settings: Settings
    state: StackState | None
    ledger_url: str
    sidecar: tuple[str, int, int] | None

    def bindings(self) -> Bindings:
        """The bindings of the configuration folder."""
        from sayso.correlation.bindings import load_bindings  # noqa: PLC0415 - compiling expressions takes a moment

        return load_bindings(self.settings.config_dir / "bindings.yaml")

    def notary(self) -> Notary:
        """Who judges signatures, by the senders of the configuration folder."""
        from sayso.signing.notary import notary_of  # noqa: PLC0415 - as above

        return notary_of(self.settings)

    def ledger(self) -> Ledger:
        """The ledger, only to be read; `ConfigurationError` when there is none."""
        from sayso.ledger.queries import open_for_reading  # noqa: PLC0415 - database drivers take a moment to load

        return open_for_reading(self.ledger_url)

    def publisher(self) -> DaprPublisher:
        """A publisher through the sidecar; `TransientError` when it is not to be reached."""
        host, grpc_port, _ = self._reached()
        from sayso.publisher import DaprPublisher  # noqa: PLC0415 - gRPC takes a moment to load

        return DaprPublisher(self.settings.pubsub, f"{host}:{grpc_port}")

    def engine(self) -> DaprEngine:
        """The workflow engine behind the sidecar; `TransientError` when it is not to be reached."""
        host, grpc_port, _ = self._reached()
        from sayso.engine import DaprEngine  # noqa: PLC0415 - gRPC takes a moment to load

        return DaprEngine(self.settings.dispatcher.engine_timeout, host, grpc_port)

    def _reached(self) -> tuple[str, int, int]:
        """Ask the sidecar first: the SDK would wait a minute for one that is not there, and talk about it on stdout."""
        if self.sidecar is None:
            raise TransientError(f"no running stack in {self.settings.state_dir}; start it: sayso up")
        host, grpc_port, http_port = self.sidecar
        os.environ.update(no_proxy())
        token = os.environ.get("DAPR_API_TOKEN")
        headers = {"dapr-api-token": token} if token else {}
        url = f"http://{host}:{http_port}/v1.0/healthz/outbound"
        try:
            answer = httpx2.get(url, headers=headers, timeout=PROBE_SECONDS, trust_env=False)
        except httpx2.HTTPError as error:
            raise TransientError(f"the Dapr sidecar at {host}:{http_port} does not answer ({error}); see: sayso status") from error
        if not answer.is_success:
            raise TransientError(f"the Dapr sidecar at {host}:{http_port} is not ready ({answer.status_code}); see: sayso status")
        from dapr.conf import settings as dapr_settings  # noqa: PLC0415 - as above

        setattr(dapr_settings, "DAPR_HTTP_PORT", http_port)  # noqa: B010 - set dynamically there; its health check reads it
        return host, grpc_port, http_port


def find_stack() -> StackAddress:
    """Find the stack of this environment and folder. A stack that has stopped still says where its ledger is."""
    settings = load_settings()
    load_extensions(settings.config_dir)
    state = StackState.load(settings.state_dir)
    ledger_url = settings.ledger_url
    if state is not None and "SAYSO_LEDGER_URL" not in os.environ:
        ledger_url = state.ledger_url
    return StackAddress(settings, state, ledger_url, _sidecar(state))


def _sidecar(state: StackState | None) -> tuple[str, int, int] | None:
    host = os.environ.get("DAPR_RUNTIME_HOST", "127.0.0.1")
    named = os.environ.get("DAPR_GRPC_PORT", "")
    if named.isdigit():
        http_port = os.environ.get("DAPR_HTTP_PORT", "")
        return host, int(named), int(http_port) if http_port.isdigit() else HTTP_PORT_DEFAULT
    if state is not None and leftovers.supervisor_of(state) is not None:
        return host, state.dapr_grpc_port, state.dapr_http_port
    return None
