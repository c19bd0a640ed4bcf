"""Kafka without Docker: its jars, fetched once with Maven, and the commands that run one broker on 127.0.0.1.

In: a Java and a Maven on the PATH. Out: a `KafkaInstallation`, the text of server.properties, two command lines.
Invariant: broker and controller are one process that listens on 127.0.0.1 only and keeps all data below one folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sayso.errors import ConfigurationError
from sayso.stack.cached_install import Progress, cache_folder, install_once, run_tool

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"
JAVA_MINIMUM = 17
CLUSTER_ID = "c2F5c28tbG9jYWwtMDAwMQ"
"""One id for every local cluster: 16 bytes in base64, as Kafka wants it."""

# The kafka artifact names no logging backend: without log4j-slf4j-impl a broker that cannot start says nothing.
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sayso</groupId><artifactId>local-kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

OTHER_WAYS = "Or use the default broker (`sayso up --broker valkey`), or containers (`docker compose --profile kafka up`)."


@dataclass(frozen=True)
class KafkaInstallation:
    """A Java that is new enough, and the class path of Kafka's jars."""

    java: Path
    classpath: str


def install_kafka(progress: Progress) -> KafkaInstallation:
    """Find Java, and fetch Kafka's jars into the user's cache unless they are there."""
    java = require_java()
    jars = install_once(cached_kafka_folder(), lambda work: _fetch_jars(work, progress), progress)
    return KafkaInstallation(java, f"{jars}/*")


def cached_kafka_folder() -> Path:
    """Where `install_kafka` keeps the jars."""
    return cache_folder("kafka") / KAFKA_VERSION


def require_java() -> Path:
    """A Java that runs Kafka, from the PATH; `ConfigurationError` says what to install."""
    found = shutil.which("java")
    if found is None:
        raise ConfigurationError(f"Kafka needs Java {JAVA_MINIMUM} or newer, and there is no `java` on the PATH. {OTHER_WAYS}")
    version = java_version(Path(found))
    if version is None or int(version.partition(".")[0]) < JAVA_MINIMUM:
        raise ConfigurationError(f"Kafka needs Java {JAVA_MINIMUM} or newer; {found} is {version or 'unusable'}. {OTHER_WAYS}")
    return Path(found)


def java_version(java: Path) -> str | None:
    """Such as `17.0.15`; None if this Java does not run or does not say."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "([\d.]+)', answer.stderr + answer.stdout)
    return match.group(1) if match else None


def _fetch_jars(work: Path, progress: Progress) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(f"Kafka's jars are fetched with Maven, and there is no `mvn` on the PATH. {OTHER_WAYS}")
    (work / "pom.xml").write_text(POM, encoding="utf-8")
    jars = work / "jars"
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    run_tool(
        [maven, "--batch-mode", "--file", "pom.xml", *goal],
        cwd=work,
        progress=progress,
        describe=lambda _: f"fetching Kafka {KAFKA_VERSION} with Maven: {len(list(jars.glob('*.jar')))} jars",
    )
    if not (jars / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
        raise ConfigurationError(f"Maven ended well but brought no kafka_2.13-{KAFKA_VERSION}.jar; run `mvn --version` and try again.")
    return jars


def server_properties(
    data_dir: Path, port: int, controller_port: int, partitions: int = 1, advertised: Mapping[int, int] = MappingProxyType({})
) -> str:
    """The text of server.properties; `partitions` is what a topic gets that is created by its first use.

    `advertised`: further ports to listen on → the port that the broker tells the clients who come there.
    """
    more = {f"PROXIED{number}": ports for number, ports in enumerate(advertised.items(), 1)}
    listens = [f"{name}://127.0.0.1:{own}" for name, (own, _) in more.items()]
    tells = [f"{name}://127.0.0.1:{told}" for name, (_, told) in more.items()]
    protocols = [f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *more)]
    return "\n".join(
        [
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
            f"listeners={','.join([f'PLAINTEXT://127.0.0.1:{port}', f'CONTROLLER://127.0.0.1:{controller_port}', *listens])}",
            f"advertised.listeners={','.join([f'PLAINTEXT://127.0.0.1:{port}', *tells])}",
            f"listener.security.protocol.map={','.join(protocols)}",
            "controller.listener.names=CONTROLLER",
            f"log.dirs={data_dir}",
            "auto.create.topics.enable=true",
            f"num.partitions={partitions}",
            # Nothing is dropped by age: an event that waited over a weekend must still be there.
            "log.retention.ms=-1",
            *(f"{topic}.replication.factor=1" for topic in _INTERNAL_TOPICS),
            *(f"{topic}.num.partitions=1" for topic in _INTERNAL_TOPICS),
            "transaction.state.log.min.isr=1",
            "share.coordinator.state.topic.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            "",
        ]
    )


_INTERNAL_TOPICS = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")


def format_storage_command(kafka: KafkaInstallation, properties: Path) -> list[str]:
    """Prepare the data folder; a folder that is prepared already is left as it is."""
    tool = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", str(properties), "--ignore-formatted"]
    return [str(kafka.java), "-Xmx256m", "-cp", kafka.classpath, *tool]


def server_command(kafka: KafkaInstallation, properties: Path) -> list[str]:
    """Run the broker in the foreground; its log goes to standard output."""
    options = ["-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-Dorg.apache.logging.log4j.level=INFO"]
    return [str(kafka.java), *options, "-cp", kafka.classpath, "kafka.Kafka", str(properties)]
