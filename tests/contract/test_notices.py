"""Notices through apprise: to the notice file, and to a real HTTP endpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sayso.directory import Directory, load_directory
from sayso.errors import ConfigurationError, TransientError
from sayso.notices.notice_file import FILE_NAME, read_notices
from sayso.notices.sender import NoticeSender

PROJECT = Path(__file__).resolve().parents[2]

# Apprise loads all of its services at the first URL; one of them still asks for a module that Python 3.13 has dropped.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Inbox:
    """What an HTTP endpoint was sent; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[dict[str, Any]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook?:notice_id={{notice_id}}"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(inbox.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        inbox.port = server.server_port
        Thread(target=server.serve_forever).start()
        yield inbox
        server.shutdown()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def directory(*urls: str) -> Directory:
    return Directory.model_validate({"default": {"notify": urls}, "users": {"alice": {"name": "Alice"}}})


def test_a_notice_goes_to_the_file_as_it_was_written(tmp_path: Path) -> None:
    sender = NoticeSender(load_directory(PROJECT / "config/directory.yaml"), tmp_path / "state")
    body = "  <b>1 < 2</b>\nsecond line é\n"
    sender.send("managers", "Approval needed: ORD-1", body, "case-1/notice-1")
    (seen,) = read_notices(tmp_path / "state" / FILE_NAME)
    assert (seen.notice.notice_id, seen.notice.recipient) == ("case-1/notice-1", "managers")
    assert (seen.notice.title, seen.notice.body, seen.deliveries) == ("Approval needed: ORD-1", body, 1)


def test_a_repeated_notice_is_recognised_by_its_id(tmp_path: Path) -> None:
    sender = NoticeSender(directory("sayso-file://"), tmp_path)
    for notice_id in ("n-1", "n-2", "n-1"):
        sender.send("alice", "Hello", "body", notice_id)
    sender.send("bob", "Hello", "body", "n-1")
    seen = [(one.notice.notice_id, one.notice.recipient, one.deliveries) for one in read_notices(tmp_path / FILE_NAME)]
    assert seen == [("n-1", "alice", 2), ("n-2", "alice", 1), ("n-1", "bob", 1)]


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    sender = NoticeSender(directory("sayso-file://"), tmp_path)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: sender.send("alice", "Hello", "x" * 5_000, f"n-{number}"), range(200)))
    assert {one.notice.notice_id for one in read_notices(tmp_path / FILE_NAME)} == {f"n-{number}" for number in range(200)}
    assert len((tmp_path / FILE_NAME).read_bytes().split()) == 200


def test_a_line_torn_by_a_full_disk_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b'{"notice_id": "torn", "at')
    NoticeSender(directory("sayso-file://"), tmp_path).send("alice", "Hello", "body", "n-1")
    assert [one.notice.notice_id for one in read_notices(tmp_path / FILE_NAME)] == ["n-1"]


def test_a_notice_goes_to_an_http_endpoint_with_its_id(tmp_path: Path, inbox: Inbox) -> None:
    NoticeSender(directory(inbox.url), tmp_path).send("alice", "Approval needed", "ORD-1: 1250.00 EUR", "case 1/&=")
    (received,) = inbox.received
    assert (received["title"], received["message"]) == ("Approval needed", "ORD-1: 1250.00 EUR")
    assert received["notice_id"] == "case 1/&="
    assert not (tmp_path / FILE_NAME).exists()


def test_a_notice_goes_to_every_url_of_its_recipient(tmp_path: Path, inbox: Inbox) -> None:
    NoticeSender(directory("sayso-file://", inbox.url), tmp_path).send("alice", "Hello", "body", "n-1")
    assert [one["notice_id"] for one in inbox.received] == ["n-1"]
    assert len(read_notices(tmp_path / FILE_NAME)) == 1


def test_an_endpoint_that_fails_is_to_be_tried_again_and_says_why(tmp_path: Path, inbox: Inbox) -> None:
    sender = NoticeSender(directory("sayso-file://", inbox.url), tmp_path)
    inbox.status = 500
    with pytest.raises(TransientError) as caught:
        sender.send("alice", "Hello", "body", "n-1")
    assert 'notice "Hello" for alice was not delivered: ' in str(caught.value)
    assert "error=500" in str(caught.value)
    inbox.status = 200
    sender.send("alice", "Hello", "body", "n-1")
    assert [one["notice_id"] for one in inbox.received] == ["n-1", "n-1"]
    assert [one.deliveries for one in read_notices(tmp_path / FILE_NAME)] == [2]


def test_a_file_that_cannot_be_written_is_to_be_tried_again_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(TransientError, match=r"state/notices\.jsonl: File exists"):
        NoticeSender(directory("sayso-file://"), tmp_path / "state").send("alice", "Hello", "body", "n-1")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("slak://token-of-alice", "apprise does not understand this slak:// URL"),
        ("mailto://", "apprise does not understand this mailto:// URL"),
        ("sayso-file:///tmp/x", "write sayso-file:// alone"),
    ],
)
def test_a_url_that_nobody_understands_stops_the_start_and_is_not_shown(tmp_path: Path, url: str, says: str) -> None:
    path = tmp_path / "directory.yaml"
    path.write_text(f"default: {{notify: [sayso-file://]}}\nusers:\n  alice:\n    name: Alice\n    notify:\n    - {url}\n")
    with pytest.raises(ConfigurationError) as caught:
        NoticeSender(load_directory(path), tmp_path)
    assert str(caught.value).startswith(f"{path}:6: {says}")
    assert "token" not in str(caught.value)


def test_apprise_is_not_imported_before_the_first_notice() -> None:
    script = """
import sys, pathlib
from sayso.directory import load_directory
from sayso.notices.sender import NoticeSender
NoticeSender(load_directory(pathlib.Path("config/directory.yaml")), pathlib.Path("unused"))
sys.exit("apprise" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False, timeout=60).returncode == 0
