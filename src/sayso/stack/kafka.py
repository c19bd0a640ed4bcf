"""Kafka: the broker of `--broker kafka`, one KRaft process without Docker.

In: the installed jars, ports, the state folder, the topics that must exist. Out: the broker's process.
Invariant: it is ready only when every topic exists, because a sidecar that subscribes to a missing topic hears of it minutes later.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sayso.errors import ConfigurationError
from sayso.stack.kafka_jars import KafkaInstallation, format_storage_command, server_command, server_properties
from sayso.stack.ports import HOST
from sayso.stack.probes import listens
from sayso.stack.process import Layer, Probe, ProcessSpec

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

NAME = "kafka"
DEFAULT_PORT = 9092
PARTITIONS = 8
"""One partition is handled one event at a time; eight keep the ledger's writer busy, and are shared out among replicas."""

FORMAT_SECONDS = 60
ASK_SECONDS = 1.5


def kafka(
    installation: KafkaInstallation,
    port: int,
    controller_port: int,
    folder: Path,
    topics: frozenset[str],
    advertised: Mapping[int, int] = MappingProxyType({}),
) -> ProcessSpec:
    """The broker on this port, with its data in `folder`; `advertised` has further ports, each with the one that it tells clients."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "log"
    properties = folder / "server.properties"
    properties.write_text(server_properties(data, port, controller_port, PARTITIONS, advertised), encoding="utf-8")
    return ProcessSpec(
        name=NAME,
        command=tuple(server_command(installation, properties)),
        directory=folder,
        address=f"{HOST}:{port}",
        probe=_topics_ready(port, topics),
        layer=Layer.STORAGE,
        prepare=lambda: _format(format_storage_command(installation, properties), data),
        stop_seconds=20.0,
    )


def _format(command: list[str], data: Path) -> None:
    if (data / "meta.properties").exists():
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FORMAT_SECONDS)  # noqa: S603
    if done.returncode != 0:
        raise ConfigurationError(f"Kafka could not prepare {data}: {(done.stderr or done.stdout).strip()}")


def _topics_ready(port: int, topics: frozenset[str]) -> Probe:
    admin: AdminClient | None = None

    async def probe() -> str:
        nonlocal admin
        await listens(port)()  # librdkafka would fill the terminal with refused connections
        admin = admin or _admin(port)
        return await asyncio.to_thread(_create_missing, admin, topics)

    return probe


def _admin(port: int) -> AdminClient:
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - part of an extra

    return AdminClient({"bootstrap.servers": f"{HOST}:{port}", "socket.timeout.ms": 1500, "log_level": 0})


def _create_missing(admin: AdminClient, topics: frozenset[str]) -> str:
    from confluent_kafka import KafkaException  # noqa: PLC0415 - part of an extra
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

    try:
        missing = topics - set(admin.list_topics(timeout=ASK_SECONDS).topics)
        if not missing:
            return ""
        new = [NewTopic(topic, PARTITIONS, 1) for topic in sorted(missing)]
        for creation in admin.create_topics(new, operation_timeout=ASK_SECONDS).values():
            creation.result(ASK_SECONDS)
    except (KafkaException, TimeoutError) as error:
        return f"does not answer: {error}"
    return "creates its topics"


def require_client() -> None:
    """`ConfigurationError` when the Python client is not installed."""
    try:
        import confluent_kafka  # noqa: F401, PLC0415 - part of an extra
    except ImportError as error:
        raise ConfigurationError('Kafka\'s client is not installed; pip install "sayso[kafka]"') from error
