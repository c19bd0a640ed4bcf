"""Kafka from Maven's jars: the broker starts, keeps what it is given, and is reached from 127.0.0.1 only."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from sayso.errors import ConfigurationError
from sayso.stack import kafka_jars
from sayso.stack.kafka_jars import (
    CLUSTER_ID,
    KafkaInstallation,
    format_storage_command,
    install_kafka,
    require_java,
    server_command,
    server_properties,
)

STARTUP_SECONDS = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def kafka() -> KafkaInstallation:
    return install_kafka(print)


class Broker:
    """One broker on its own folder, which it keeps over restarts."""

    def __init__(self, kafka: KafkaInstallation, folder: Path) -> None:
        self._kafka, self._folder = kafka, folder
        self.port, self.controller_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._properties = folder / "server.properties"
        self._properties.write_text(server_properties(folder / "data", self.port, self.controller_port))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        subprocess.run(format_storage_command(self._kafka, self._properties), check=True, capture_output=True, timeout=60)
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(server_command(self._kafka, self._properties), stdout=log, stderr=log)
        until = time.monotonic() + STARTUP_SECONDS
        while not self._answers():
            assert self.process.poll() is None, f"the broker ended:\n{self.log()[-3000:]}"
            assert time.monotonic() < until, f"no broker after {STARTUP_SECONDS} s:\n{self.log()[-3000:]}"

    def _answers(self) -> bool:
        try:
            return bool(AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def log(self) -> str:
        return (self._folder / "log").read_text()


@pytest.fixture(scope="module")
def broker(kafka: KafkaInstallation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(kafka, tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def write(broker: Broker, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def read(broker: Broker, topic: str, count: int) -> list[bytes | None]:
    settings = {
        "bootstrap.servers": broker.address,
        "group.id": "sayso-test",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(settings)
    try:
        consumer.subscribe([topic])
        messages = consumer.consume(count, timeout=30)
        assert [message.error() for message in messages] == [None] * len(messages)
        return [message.value() for message in messages]
    finally:
        consumer.close()


@pytest.mark.stack
def test_a_topic_is_made_by_its_first_use_and_outlives_a_killed_broker(broker: Broker) -> None:
    write(broker, "purchases", b"first")
    assert read(broker, "purchases", 1) == [b"first"]
    broker.stop()
    broker.start()
    write(broker, "purchases", b"second")
    assert read(broker, "purchases", 2) == [b"first", b"second"]
    topic = AdminClient({"bootstrap.servers": broker.address}).list_topics("purchases", timeout=10).topics["purchases"]
    assert len(topic.partitions) == 1


@pytest.mark.stack
def test_the_broker_listens_on_loopback_only(broker: Broker) -> None:
    assert broker.process is not None
    listening = {at.laddr for at in psutil.Process(broker.process.pid).net_connections() if at.status == "LISTEN"}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {broker.port, broker.controller_port}


@pytest.mark.stack
def test_the_log_tells_what_the_broker_does(broker: Broker) -> None:
    assert "Kafka Server started" in broker.log()
    assert CLUSTER_ID in broker.log()


@pytest.mark.stack
def test_what_is_fetched_is_found_at_once_without_maven(
    kafka: KafkaInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "java").symlink_to(os.path.realpath(kafka.java))
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    assert install_kafka(said.append).classpath == kafka.classpath
    assert said == []


def put_java(folder: Path, version: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(0o755)
    return java


def test_without_java_or_with_an_old_one_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Java 17 or newer, and there is no `java`"):
        require_java()
    java = put_java(tmp_path, "11.0.2")
    with pytest.raises(ConfigurationError, match=rf"{java} is 11\.0\.2.*--broker valkey"):
        require_java()
    put_java(tmp_path, "21")
    assert require_java() == java


def test_without_maven_the_error_names_it_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_java(tmp_path, "17.0.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match=r"no `mvn` on the PATH.*--broker valkey"):
        install_kafka(lambda _: None)
    assert not kafka_jars.cached_kafka_folder().exists()
