"""Toxiproxy: the TCP proxies through which a stack's network can be cut. Only stacks that ask for it have any.

In: the ports of broker and database. Out: a port for each client of theirs, and the process behind those ports, which
`sayso.testing.fault_run.partitions` tells what to cut. Built once into the user's cache from its Go module, like the runtime.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from sayso.errors import ConfigurationError
from sayso.stack.cached_install import Progress, cache_folder, install_once
from sayso.stack.ports import HOST, Ports
from sayso.stack.probes import http_ok
from sayso.stack.process import Layer, ProcessSpec
from sayso.stack.runtime_build import require_go

NAME = "toxiproxy"
VERSION = "2.5.0"
PACKAGE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
BUILD_SECONDS = 600


def install_toxiproxy(progress: Progress) -> Path:
    """The server's binary; Go's checksum database vouches for its source."""
    return install_once(cache_folder(NAME) / VERSION, lambda work: _build(work, progress), progress) / "server"


def _build(work: Path, progress: Progress) -> Path:
    go = require_go()
    progress(f"building toxiproxy {VERSION} with Go")
    binaries = work / "bin"
    done = subprocess.run(  # noqa: S603 - Go itself, fixed arguments
        [go, "install", PACKAGE],
        cwd=work,
        env={**os.environ, "GOBIN": str(binaries), "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        raise ConfigurationError(f"toxiproxy could not be built: {done.stderr.strip()[-1000:]}")
    return binaries


class Proxies:
    """Collects the proxies of one stack. Without a binary there are none, and every client gets the server's own port."""

    def __init__(self, binary: Path | None, ports: Ports) -> None:
        self._binary = binary
        self._ports = ports
        self._config: list[dict[str, object]] = []
        self.port = ports.take() if binary else 0
        """Of the API that cuts and heals."""

    def through(self, name: str, server_port: int) -> int:
        """The port at which this client finds the server."""
        if self._binary is None:
            return server_port
        port = self._ports.take()
        self._config.append({"name": name, "listen": f"{HOST}:{port}", "upstream": f"{HOST}:{server_port}", "enabled": True})
        return port

    def specs(self, folder: Path) -> list[ProcessSpec]:
        """The process, with its configuration in `folder`."""
        if self._binary is None:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "proxies.json"
        config.write_text(json.dumps(self._config), encoding="utf-8")
        spec = ProcessSpec(
            name=NAME,
            command=(str(self._binary), "-host", HOST, "-port", str(self.port), "-config", str(config)),
            directory=folder,
            environment={"LOG_LEVEL": "warn"},
            address=f"{HOST}:{self.port}",
            probe=http_ok(self.port, "/version"),
            layer=Layer.STORAGE,
        )
        return [spec]
