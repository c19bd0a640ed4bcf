"""`sayso serve`: the processes of an app, in this process or, when several are named, each in its own."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from typing import Annotated

import typer

from sayso.errors import ConfigurationError
from sayso.logs import configure_logs
from sayso.settings import load_settings

ROLES = ("subscribers", "worker", "gateway")
GARBAGE_THRESHOLDS = (20_000, 5, 5)
"""Objects between two collections: an event makes thousands that live for a moment, and few cycles. Those that there are (event loops,
tracebacks) must not pile up until the 50th collection of the middle generation: that took an hour, and megabytes.
"""


def serve(roles: Annotated[list[str], typer.Argument(help=f"One or more of: {', '.join(ROLES)}.")]) -> None:
    """Run these processes until SIGTERM. The sidecar's ports come from DAPR_GRPC_PORT and APP_PORT."""
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise ConfigurationError(f'no role "{unknown[0]}"; valid: {", ".join(ROLES)}')
    if len(roles) > 1:
        raise typer.Exit(_serve_each(roles))
    settings = load_settings()
    configure_logs(settings.log_format)
    if roles == ["subscribers"]:
        from sayso_subscribers.process import run  # noqa: PLC0415 - a role loads only what it needs
    elif roles == ["gateway"]:
        from sayso_gateway.process import run  # noqa: PLC0415
    else:
        from sayso_worker.process import run  # noqa: PLC0415
    _leave_modules_alone()
    run(settings)


def _leave_modules_alone() -> None:
    """The garbage collector looks no more at what the modules made: a hundred thousand objects that stay as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _serve_each(roles: list[str]) -> int:
    """One child a role; when one ends, all end, and whoever started us starts us again."""
    children = [subprocess.Popen([sys.executable, "-m", "sayso.cli.main", "serve", role]) for role in roles]  # noqa: S603

    def stop(*_: object) -> None:
        for child in children:
            if child.poll() is None:
                child.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    code = _first_exit(children)
    stop()
    for child in children:
        child.wait()
    return code


def _first_exit(children: list[subprocess.Popen[bytes]]) -> int:
    while True:
        for child in children:
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
