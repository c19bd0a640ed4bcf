"""`PartnerClient` against the real partner service: answers, and errors divided by what the caller does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest
from partner_process import PartnerProcess, free_port

from sayso.errors import RefusedError, SaysoError, TransientError
from sayso.services import PartnerClient, resource_path

ORDER = {"order_id": "ORD-1", "product": "bolts", "quantity": 3, "amount": "1250.00", "currency": "EUR"}


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartnerProcess]:
    with PartnerProcess(tmp_path_factory.mktemp("partners")) as process:
        yield process


@pytest.fixture
def client(partners: PartnerProcess) -> Iterator[PartnerClient]:
    with PartnerClient(partners.url, timeout_seconds=10) as client:
        yield client


def test_a_call_gives_the_answer_of_the_service(client: PartnerClient) -> None:
    answer = client.call("/orders", ORDER, "place-1")
    assert (answer["order_id"], answer["status"]) == ("ORD-1", "placed")
    assert client.call("/orders", ORDER, "place-1") == answer


def test_any_text_can_be_a_key(client: PartnerClient, partners: PartnerProcess) -> None:
    keys = ["é", "a b", "a\nb", "a%0Ab", " a", "日本", "a/b:c@d"]
    for key in keys:
        client.call("/actions", {"request_id": "REQ-K"}, key)
    assert len(partners.effects(subject="REQ-K")) == len(keys)
    assert [effect["key"] for effect in partners.effects(subject="REQ-K")][-1] == "a/b:c@d"


@pytest.mark.parametrize("order_id", ["..", ".", "a/b", "x/cancel", "é%2F?#", "a b\n", "-"])
def test_any_text_can_be_a_part_of_the_path(client: PartnerClient, order_id: str) -> None:
    answer = client.call(resource_path("orders", order_id, "cancel"), {}, f"undo {order_id}")
    assert (answer["order_id"], answer["status"]) == (order_id, "cancelled")


def test_a_refusal_is_not_to_be_tried_again_and_says_why(client: PartnerClient) -> None:
    with pytest.raises(RefusedError, match=r"^quantity: Input should be greater than or equal to 1$"):
        client.call("/orders", ORDER | {"quantity": 0}, "bad")
    with pytest.raises(RefusedError, match=r"^Not Found$"):
        client.call("/nothing", {}, "nothing")


def test_a_failing_service_is_to_be_tried_again_and_its_words_are_kept(tmp_path: Path) -> None:
    with PartnerProcess(tmp_path, PARTNERS_FAIL_AFTER_EVERY="1") as failing, PartnerClient(failing.url, 10) as client:
        with pytest.raises(TransientError) as caught:
            client.call("/orders", ORDER, "k")
        assert str(caught.value) == "Orders service unavailable"
        assert len(failing.effects()) == 1, "the answer got lost, the effect did not"


def test_a_service_that_is_away_is_to_be_tried_again() -> None:
    with PartnerClient(f"http://127.0.0.1:{free_port()}", 5) as client, pytest.raises(TransientError, match="did not answer"):
        client.call("/orders", ORDER, "k")


def test_a_service_that_is_too_slow_is_to_be_tried_again(tmp_path: Path) -> None:
    with (
        PartnerProcess(tmp_path, PARTNERS_DELAY_MS="5000") as slow,
        PartnerClient(slow.url, timeout_seconds=0.2) as client,
        pytest.raises(TransientError, match="ReadTimeout"),
    ):
        client.call("/orders", ORDER, "k")


def test_a_service_that_was_restarted_is_reached_again_through_the_same_client(tmp_path: Path) -> None:
    with PartnerProcess(tmp_path) as partners, PartnerClient(partners.url, timeout_seconds=10) as client:
        client.call("/orders", ORDER, "k")
        partners.kill()
        with pytest.raises(TransientError):
            client.call("/orders", ORDER, "k")
        partners.start()
        assert client.call("/orders", ORDER, "k")["status"] == "placed"


@pytest.fixture
def foreign_service() -> Iterator[str]:
    """A service that answers each POST with the status and the text that its path names: `/200/hello`."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, status, text = self.path.split("/")
            self.send_response(int(status))
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(unquote(text).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/200/hello", TransientError, "/200/hello answered 200 without a JSON object"),
        ("/200/[1]", TransientError, "/200/[1] answered 200 without a JSON object"),
        ("/500/oops", TransientError, "/500/oops answered 500 Internal Server Error"),
        ("/429/", TransientError, "/429/ answered 429 Too Many Requests"),
        ("/302/", RefusedError, "/302/ answered 302 Found"),
        ('/409/{"detail": " taken "}', RefusedError, "taken"),
        ('/409/{"detail": [1]}', RefusedError, " answered 409 Conflict"),
    ],
)
def test_any_answer_becomes_a_result_or_an_error_of_ours(foreign_service: str, path: str, error: type[SaysoError], says: str) -> None:
    with PartnerClient(foreign_service, timeout_seconds=5) as client, pytest.raises(error) as caught:
        client.call(path, {}, "k")
    assert str(caught.value).endswith(says)


def test_loopback_is_called_directly_whatever_proxy_is_configured(partners: PartnerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with PartnerClient(partners.url, timeout_seconds=5) as client:
        assert client.call("/actions", {"request_id": "REQ-P"}, "proxy")["status"] == "executed"


def test_many_threads_share_one_client(client: PartnerClient, partners: PartnerProcess) -> None:
    def execute(number: int) -> str:
        return str(client.call("/actions", {"request_id": f"REQ-T{number}"}, f"thread-{number}")["status"])

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(execute, range(300))) == {"executed"}
    assert partners.get("/effects/count", kind="actions.executed").json()["effects"] >= 300
