"""`python -m benchmarks.bridge`: signed webhooks through the gateway's bridge, and through a bare FastAPI endpoint, on one real stack.

In: options. Out: a table on stdout. Two parts for each: at a steady rate (times count from when a webhook was due), and as fast as it
goes. Every accepted webhook must be on its topic afterwards, once or more, or the benchmark stops.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
import typer
from standardwebhooks import Webhook

from benchmarks.figures import percentile
from benchmarks.meter import BENCH, Meter, usage
from sayso.errors import SaysoError
from sayso.stack.ports import Ports
from sayso.testing.foreign_client import foreign_client_of
from sayso.testing.stack import PROJECT, StackHandle, running_stack

SOURCE = """
  bench:
    scheme: standard-webhooks
    secrets: [{state_file: webhooks/bench.secret}]
    topic: payments
    a_second: 100000
    events: [{type: com.acme.payment.authorized.v1, key: body.data.order_id, data: body.data}]
"""
CONNECTIONS = 32
TYPE = "com.acme.payment.authorized.v1"
POLL_SECONDS = 0.1
START_SECONDS = 30.0


@dataclass(frozen=True)
class Target:
    """One that takes webhooks: its name, port, and the process whose CPU is its own."""

    title: str
    port: int
    process: psutil.Process


@dataclass(frozen=True)
class Measured:
    """What came of one part."""

    title: str
    part: str
    a_second: float
    p50_ms: float
    p99_ms: float
    longest_ms: float
    own_cpu_ms: float
    stack_cpu_ms: float
    others_percent: float


def main(
    rate: Annotated[int, typer.Option(min=1, help="Webhooks a second of the steady part.")] = 500,
    seconds: Annotated[int, typer.Option(min=1, help="How long the steady part lasts.")] = 20,
    n: Annotated[int, typer.Option(min=1, help="Webhooks of the fast part.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each, alternating.")] = 2,
    state_dir: Annotated[Path, typer.Option(help="Folder of the stack.")] = Path(".sayso/bench-bridge"),
) -> None:
    """Measure the bridge."""
    measured: list[Measured] = []
    with stack_with_source(state_dir) as stack:
        secret = (stack.state.state_dir / "webhooks" / "bench.secret").read_text(encoding="utf-8").strip()
        with bare(stack, secret) as by_hand:
            gateway = Target("gateway", int(stack.state.gateway_url.rpartition(":")[2]), stack.processes()["gateway"])
            for number in range(rounds):
                for target in (gateway, by_hand) if number % 2 == 0 else (by_hand, gateway):
                    drive(stack, target, requests_of(secret, target, 500), rate=None, part="warm-up")
                    measured.append(drive(stack, target, requests_of(secret, target, rate * seconds), rate=rate, part=f"{rate}/s"))
                    measured.append(drive(stack, target, requests_of(secret, target, n), rate=None, part="as fast as it goes"))
    show(measured)


def requests_of(secret: str, target: Target, count: int) -> dict[str, bytes]:
    """Event id → the request, signed. The body is a CloudEvent, so that both publish what the ledger understands."""
    hook, now = Webhook(secret), datetime.now(UTC)
    made: dict[str, bytes] = {}
    for _ in range(count):
        event_id = f"bench-{secrets.token_hex(8)}"
        data = {"order_id": event_id, "amount": "1250.00", "currency": "USD", "payment_id": event_id}
        body = json.dumps({"specversion": "1.0", "id": event_id, "source": "/bench", "type": TYPE, "data": data})
        headers = {
            "host": f"127.0.0.1:{target.port}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": hook.sign(event_id, now, body),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        made[event_id] = f"POST /webhooks/bench HTTP/1.1\r\n{head}\r\n{body}".encode()
    return made


def drive(stack: StackHandle, target: Target, requests: dict[str, bytes], rate: int | None, part: str) -> Measured:
    """Send all of them; every answer must be 202, and every event on the topic."""
    meter = Meter(stack, {})
    before, own = meter.read(), cpu_seconds(target.process)
    waits, took = asyncio.run(_send(target, list(requests.values()), rate))
    after, own = meter.read(), cpu_seconds(target.process) - own
    used = usage(before, after)
    missing = set(requests) - ids_on_topic(stack)
    if missing:
        raise SaysoError(f"{target.title}, {part}: {len(missing)} accepted webhooks are not on the topic")
    milliseconds = [1000 * wait for wait in waits]
    count = len(requests)
    stack_seconds = used.stack_seconds + (0 if target.title == "gateway" else own)
    one = Measured(
        target.title,
        part,
        count / took,
        percentile(milliseconds, 50),
        percentile(milliseconds, 99),
        max(milliseconds),
        1000 * own / count,
        1000 * stack_seconds / count,
        used.others_percent - (0 if target.title == "gateway" else 100 * own / (used.seconds * (os.cpu_count() or 1))),
    )
    say(f"{one.title}, {one.part}: {one.a_second:.0f}/s, p99 {one.p99_ms:.0f} ms, bench itself {used.cpu_seconds[BENCH]:.1f} s CPU")
    return one


async def _send(target: Target, requests: list[bytes], rate: int | None) -> tuple[list[float], float]:
    """Over some connections; with a rate, request number i is due at second i / rate, whatever became of those before it."""
    began = time.monotonic()
    queue = iter(enumerate(requests))
    waits: list[float] = []

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        for number, request in queue:
            due = began + number / rate if rate else time.monotonic()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"content-length: 0"
            )
            await reader.readexactly(int(length.partition(b":")[2]))
            if not answer.startswith(b"HTTP/1.1 202"):
                raise SaysoError(f"{target.title} answered {answer[:200]!r}")
            waits.append(time.monotonic() - due)
        writer.close()

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    return waits, time.monotonic() - began


@contextmanager
def stack_with_source(state_dir: Path) -> Iterator[StackHandle]:
    """The shipped configuration, and one source more."""
    config = state_dir.resolve() / "config"
    shutil.rmtree(config, ignore_errors=True)
    shutil.copytree(PROJECT / "config", config)
    with (config / "webhooks.yaml").open("a", encoding="utf-8") as file:
        file.write(SOURCE)
    with running_stack(state_dir, fresh=True, env_overrides={"SAYSO_CONFIG_DIR": str(config)}) as stack:
        yield stack


@contextmanager
def bare(stack: StackHandle, secret: str) -> Iterator[Target]:
    """The bare endpoint, on the gateway's sidecar."""
    port = Ports("bare bridge", use_defaults=False).take()
    told = stack.processes()["gateway"].environ()
    names = ("DAPR_GRPC_PORT", "DAPR_HTTP_PORT", "DAPR_API_TOKEN", "NO_PROXY", "no_proxy", "no_grpc_proxy")
    environment = {**os.environ, **{name: told[name] for name in names}, "PORT": str(port), "SECRET": secret}
    with subprocess.Popen([sys.executable, str(Path(__file__).parent / "barebridge" / "app.py")], env=environment) as child:
        try:
            wait_for(port)
            yield Target("bare FastAPI", port, psutil.Process(child.pid))
        finally:
            child.terminate()


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if any(each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in psutil.net_connections("tcp4")):
            return
        time.sleep(POLL_SECONDS)
    raise SaysoError(f"nobody listens on {port}")


def ids_on_topic(stack: StackHandle) -> set[str]:
    """Of all events that the broker has on the topic."""
    client = foreign_client_of(stack.state)
    try:
        return {str(json.loads(body)["id"]) for body in client.read("payments")}
    finally:
        client.close()


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time."""
    times = process.cpu_times()
    return float(times.user + times.system)


def show(measured: list[Measured]) -> None:
    """A row for each part and round, and the ratios."""
    print("| who | part | a second | p50 ms | p99 ms | longest ms | its CPU ms | stack's CPU ms | others' CPU % |\n|" + "---|" * 9)
    for one in measured:
        times = f"{one.p50_ms:.1f} | {one.p99_ms:.1f} | {one.longest_ms:.0f}"
        cost = f"{one.own_cpu_ms:.2f} | {one.stack_cpu_ms:.2f} | {one.others_percent:.0f}"
        print(f"| {one.title} | {one.part} | {one.a_second:.0f} | {times} | {cost} |")
    fastest = {title: max(one.a_second for one in measured if one.title == title) for title in ("gateway", "bare FastAPI")}
    print(f"\ngateway : bare = {fastest['gateway'] / fastest['bare FastAPI']:.2f} (as fast as it goes, the best round of each)")


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except SaysoError as error:
        say(str(error))
        sys.exit(error.exit_code)
