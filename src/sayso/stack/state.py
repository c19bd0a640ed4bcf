"""`stack.json`: what runs, where, and how to reach it.

In: the supervisor's changes. Out: `StackState`, which every command reads to find ledger, sidecar and broker.
Invariant: the file is replaced as a whole, so a reader never sees half of it, and only its owner can read it (it holds the
local database's password).
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

FILE_NAME = "stack.json"

Broker = Literal["valkey", "kafka"]
LedgerKind = Literal["sqlite", "postgresql"]


class ProcessStatus(StrEnum):
    """Where one process of the stack is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class StackStatus(StrEnum):
    """Where the stack is in its life."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class ProcessState(BaseModel):
    """One process: `pid` and `create_time` together identify it, a pid alone may be another process by now."""

    name: str
    log: Path
    address: str = ""
    status: ProcessStatus = ProcessStatus.WAITING
    pid: int | None = None
    create_time: float | None = None
    restarts: int = 0
    detail: str = ""


class StackState(BaseModel):
    """The whole stack."""

    model_config = ConfigDict(extra="ignore")

    status: StackStatus = StackStatus.STARTING
    error: str = ""
    project: Path
    state_dir: Path
    supervisor_pid: int
    supervisor_create_time: float
    broker: Broker
    ledger: LedgerKind
    redis_host: str = ""
    """host:port of Valkey; with Kafka and PostgreSQL there is none."""
    kafka_brokers: str = ""
    ledger_url: str
    partners_url: str
    gateway_url: str = ""
    """Empty in a stack without a gateway."""
    app_port: int
    dapr_http_port: int
    dapr_grpc_port: int
    sidecar_http_ports: list[int] = []
    """Of every sidecar, the first replica's first."""
    toxiproxy_port: int = 0
    """Of the proxies' API; 0 in a stack without proxies."""
    moved_ports: dict[int, int] = {}
    """Usual port → the one that is used because somebody else has it."""
    metrics: dict[str, str] = {}
    """Process → URL of its metrics."""
    processes: list[ProcessState] = []

    @property
    def broker_address(self) -> str:
        """host:port of the broker that carries the topics."""
        return self.kafka_brokers if self.broker == "kafka" else self.redis_host

    def process(self, name: str) -> ProcessState | None:
        """The process of this name."""
        return next((process for process in self.processes if process.name == name), None)

    def shareable(self) -> dict[str, Any]:
        """The state as JSON-ready data, without the local database's password."""
        return {**self.model_dump(mode="json"), "ledger_url": re.sub(r"(://[^:/@]+):[^@]+@", r"\1:***@", self.ledger_url)}

    @classmethod
    def load(cls, state_dir: Path) -> Self | None:
        """The state that was last written; None when there is none or it cannot be understood."""
        try:
            return cls.model_validate_json((state_dir / FILE_NAME).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def save(self) -> None:
        """Replace the file."""
        target = self.state_dir / FILE_NAME
        draft = target.with_suffix(".json.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=2))
        draft.replace(target)
