"""The real binaries of this machine: they tell their version, and what Sayso built listens on 127.0.0.1 only."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sayso.stack.runtime import BINARIES, Runtime, ask_version, find_runtime, install_runtime, release

pytestmark = pytest.mark.stack

DEADLINE_SECONDS = 20


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return install_runtime(print)


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def test_each_binary_tells_the_version_of_the_runtime(runtime: Runtime) -> None:
    assert release(runtime.version) >= (1, 18)
    assert {name: ask_version(name, getattr(runtime, name)) for name in BINARIES} == dict.fromkeys(BINARIES, runtime.version)


def test_what_is_installed_is_found_at_once(runtime: Runtime) -> None:
    said: list[str] = []
    started = time.monotonic()
    assert install_runtime(said.append) == find_runtime() == runtime
    assert said == []
    assert time.monotonic() - started < 10


def test_asking_the_version_leaves_no_process_and_no_file(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = psutil.Process().children(recursive=True)
    for name in BINARIES:
        ask_version(name, getattr(runtime, name))
    assert list(tmp_path.iterdir()) == []
    assert [one for one in psutil.Process().children(recursive=True) if one not in before and one.is_running()] == []


@pytest.fixture
def placement(runtime: Runtime, tmp_path: Path) -> Iterator[tuple[psutil.Process, int]]:
    port, health, raft = free_ports(3)
    command = [runtime.placement, "--port", str(port), "--listen-address", "127.0.0.1", "--healthz-port", str(health)]
    command += ["--initial-cluster", f"dapr-placement-0=127.0.0.1:{raft}", "--enable-metrics=false"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log) as process:
        yield psutil.Process(process.pid), health
        process.terminate()


def test_the_health_port_of_a_built_runtime_is_on_loopback(runtime: Runtime, placement: tuple[psutil.Process, int]) -> None:
    process, health = placement
    until = time.monotonic() + DEADLINE_SECONDS
    while health not in (listening := {at.laddr.port: at.laddr.ip for at in process.net_connections() if at.status == "LISTEN"}):
        assert time.monotonic() < until, f"placement does not listen on {health}: {listening}"
        time.sleep(0.05)
    assert (listening[health] == "127.0.0.1") is runtime.built_here
