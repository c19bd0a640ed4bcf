"""Malformed requests, generated: whatever is sent, it is never an error of ours (5xx), and nothing is published.

`python tests/contract/gateway/test_malformed.py 10000` sends that many; `make test` a few hundred.
"""

from __future__ import annotations

import base64
import json
import random
import socket
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2] / "unit" / "gateway"))

import shutil

import pytest
from gateway_server import ROOT, Gateway, gateway_with
from webhook_senders import SECRETS, SENDERS

from sayso.ledger import open_ledger

REQUESTS = 400
SEED = 20_261_125
SECONDS = 10.0
WEBHOOKS = """
webhooks:
""" + "".join(
    f"""  {scheme}:
    scheme: {scheme}
    secrets: [{{env: SECRET_{scheme.upper().replace("-", "_")}}}]
    topic: payments
    events: [{{type: com.acme.payment.captured.v1, key: body.a.b}}]
"""
    for scheme in SENDERS
)
PATHS = [
    *(f"/webhooks/{scheme}" for scheme in SENDERS),
    "/requests",
    "/requests/a%00b",
    "/approve/x",
    "/tasks/x/decisions",
    "/decisions:batch",
    "/status/x",
    "/receipts/x",
    "/tasks",
    "/cases",
    "/events",
    "/deadletters",
    "/me",
    "/",
    "/..%2f..%2fetc/passwd",
    "/%ff",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "get", "BREW"]
TEXTS = [
    "",
    "0",
    "-1",
    "1e999",
    "NaN",
    "'",
    '"',
    "<script>",
    "\x00",
    "\ud83d\ude00",
    "%00",
    "${jndi:ldap://x}",
    "a" * 5_000,
    "../../x",
    "\r\n",
]


class Generator:
    """Requests as bytes; the same seed gives the same ones."""

    def __init__(self, seed: int, host: str) -> None:
        self._random = random.Random(seed)
        self._host = host

    def request(self) -> bytes:
        """One request. Every other one is signed, so that it comes as far as the parser."""
        pick = self._random.choice
        path, body = pick(PATHS), self._body()
        headers = [("host", self._host), ("content-length", str(len(body)))]
        headers += [
            ("content-type", pick(["application/json", "application/cloudevents+json", "text/plain", "multipart/form-data", "x", ""]))
        ]
        scheme = path.removeprefix("/webhooks/")
        if scheme in SENDERS and pick([True, False]):
            try:
                headers += SENDERS[scheme](SECRETS[scheme][0], body, time.time()).items()
            except UnicodeDecodeError:
                headers += [("x-hub-signature-256", "sha256=00")]
        elif pick([True, False]):
            headers += [
                (
                    "authorization",
                    pick([f"Basic {base64.b64encode(b'bob:').decode()}", "Basic x", "Bearer a.b.c", "Bearer " + "x" * 9_000]),
                )
            ]
        headers += [(pick(["ce-id", "ce-specversion", "idempotency-key", "webhook-id", "stripe-signature", "x-any"]), self._text())]
        query = f"?{pick(['cursor', 'limit', 'state', 'source', 'since', 'workflow'])}={quote(self._text(), errors='replace')}"
        method = pick([*METHODS, "POST", "POST", "POST"])
        lines = [f"{method} {path}{pick(['', query])} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "connection: close", "", ""]).encode("utf-8", "replace") + body

    def _text(self) -> str:
        return self._random.choice(TEXTS).replace("\r\n", " ").replace("\x00", "\x01")

    def _body(self) -> bytes:
        raw = json.dumps(self._value(0)).encode()
        return self._random.choice(
            [
                raw,
                raw,
                raw,
                b'{"a":{"b":' + raw + b"}}",
                raw[: len(raw) // 2],
                raw + b"}",
                bytes(self._random.randrange(256) for _ in range(self._random.randrange(200))),
                b"[" * self._random.choice([10, 1_000, 50_000]),
                b'{"a": {"b": 1}, "a": 2}',
                b'{"approved": true, "data": {"amount": 1e400}}',
                b"",
                b"\xef\xbb\xbf{}",
                b"9" * 5_000,
                b"x" * (1024 * 1024 + 1),
            ]
        )

    def _value(self, depth: int) -> object:
        pick = self._random.choice
        if depth > 4 or pick([True, False]):
            return pick([None, True, 0, -1, 2**70, 1.5, *TEXTS])
        if pick([True, False]):
            return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
        names = ["id", "type", "source", "specversion", "data", "approved", "approver", "decisions", "task", "a", "challenge", ""]
        return {pick(names): self._value(depth + 1) for _ in range(self._random.randrange(5))}


def statuses_of(gateway: Gateway, count: int, seed: int) -> dict[int, int]:
    """Send that many: how often each status was answered; 0 where the server closed the connection without one."""
    host = gateway.url.removeprefix("http://")
    name, _, port = host.partition(":")
    generator = Generator(seed, host)
    seen: dict[int, int] = {}
    for _ in range(count):
        request = generator.request()
        with socket.create_connection((name, int(port)), timeout=SECONDS) as connection:
            try:
                connection.sendall(request)
                answer = connection.recv(65_536)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
        words = answer.split(b" ", 2)
        status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        assert status < 500, (request[:2_000], answer)
        seen[status] = seen.get(status, 0) + 1
    return seen


def send_all(folder: Path, count: int, seed: int) -> dict[int, int]:
    """A gateway that gets them, and is alive afterwards."""
    shutil.copy(ROOT / "config" / "directory.yaml", folder)
    open_ledger(f"sqlite:///{folder / 'ledger.db'}", 0).close()
    with pytest.MonkeyPatch.context() as patch:
        for scheme, (secret, _) in SECRETS.items():
            patch.setenv(f"SECRET_{scheme.upper().replace('-', '_')}", secret)
        with gateway_with(WEBHOOKS, folder, development_login=True, requests_a_second=100_000) as gateway:
            seen = statuses_of(gateway, count, seed)
            assert gateway.client.get("/health").status_code == 200
            assert all("b" in event["data"]["a"] for event in gateway.broker.on("payments"))
    return seen


def test_no_malformed_request_is_an_error_of_ours(tmp_path: Path) -> None:
    seen = send_all(tmp_path, REQUESTS, SEED)
    assert sum(seen.values()) == REQUESTS
    assert {400, 401, 404, 405, 413, 415, 422} <= seen.keys(), seen


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        counted = send_all(Path(made), int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SEED)
    sys.stdout.write(f"{sum(counted.values())} requests, none answered 5xx: {dict(sorted(counted.items()))}\n")
