"""The partner service as a real process on a free port, for contract tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx2

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class PartnerProcess:
    """Runs inside `with`; `kill` (the hard way) and `start` as often as a test likes: port and data stay."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {"PYTHONWARNINGS": "error"} | environment
        self._client = httpx2.Client(base_url=self.url, timeout=10, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "examples/partners/service.py", "--port", str(self.port), "--data", str(self.data_dir)]
        self._process = subprocess.Popen(command, cwd=PROJECT, env=self._environment)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._is_healthy():
            assert self._process.poll() is None, f"the service ended with {self._process.returncode}"
            assert time.monotonic() < deadline, "the service did not become healthy"
            time.sleep(0.05)

    def _is_healthy(self) -> bool:
        try:
            return self._client.get("/health", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._client.close()

    def post(self, path: str, body: Any = None, key: str | None = None, **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Idempotency-Key"] = key
        return self._client.post(path, json=body, headers=sent)

    def put(self, path: str, body: Any) -> httpx2.Response:
        return self._client.put(path, json=body)

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self._client.get(path, params=query)

    def effects(self, **query: Any) -> list[dict[str, Any]]:
        effects: list[dict[str, Any]] = self.get("/effects", **query).json()["effects"]
        return effects
