"""Looking at targets, on a real server that behaves badly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from partner_process import free_port

from sayso.targets import ANSWER_BYTES_MAX, Seen, Targets

ALLOWED = Targets(("http://127.0.0.1",))
given_up = Event()


class BadTarget(BaseHTTPRequestHandler):
    """What it does is in the path."""

    def do_GET(self) -> None:
        if self.path == "/drip":
            while not given_up.wait(0.05):
                try:
                    self.wfile.write(b"H")
                except OSError:
                    return
            return
        body = b'{"status": "completed"}' if self.path == "/job" else b"x" * (ANSWER_BYTES_MAX + 1)
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "/job")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def bad_target() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BadTarget)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    given_up.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_json_answer_is_read_when_it_is_wanted(bad_target: str) -> None:
    assert ALLOWED.look(f"{bad_target}/job", 10, "k", read=True) == Seen(200, answer={"status": "completed"})
    assert ALLOWED.look(f"{bad_target}/job", 10, "k") == Seen(200)


def test_a_target_that_does_not_answer_in_time_is_given_up_also_one_that_sends_a_byte_at_a_time(bad_target: str) -> None:
    until = time.monotonic() + 60
    assert ALLOWED.look(f"{bad_target}/drip", 0.5, "k") == Seen(None, "no answer within 0.5 s")
    assert time.monotonic() < until, "it would drip for ever"


def test_no_redirect_is_followed_and_no_more_is_read_than_may_be(bad_target: str) -> None:
    assert ALLOWED.look(f"{bad_target}/elsewhere", 10, "k", read=True).status == 302
    assert ALLOWED.look(f"{bad_target}/large", 10, "k", read=True) == Seen(200)


def test_a_target_that_cannot_be_reached_or_is_not_allowed_is_a_result(bad_target: str) -> None:
    assert ALLOWED.look(f"http://127.0.0.1:{free_port()}/", 10, "k").error
    assert "is not among the targets" in str(Targets().look(f"{bad_target}/job", 10, "k").error)
