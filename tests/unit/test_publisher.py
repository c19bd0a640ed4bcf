"""What one call of the sidecar carries, and what a failure keeps back. The sidecar itself is in tests/integration."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sayso.errors import TransientError
from sayso.publisher import DaprPublisher, Message, waves


def messages(keys: str) -> list[Message]:
    return [Message(number, key, b"{}") for number, key in enumerate(keys)]


class Sidecar(DaprPublisher):
    """Notes its calls; refuses these references, and does not answer to the calls with these numbers."""

    def __init__(self, refused: Sequence[int] = (), unanswered: Sequence[int] = ()) -> None:
        self.calls: list[list[int]] = []
        self._refused, self._unanswered = refused, unanswered

    def _call(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        self.calls.append([message.reference for message in messages])
        if len(self.calls) - 1 in self._unanswered:
            raise TransientError(f"publishing to {topic} failed: UNAVAILABLE")
        return {message.reference: "refused" for message in messages if message.reference in self._refused}


@pytest.mark.parametrize(
    ("keys", "calls"),
    [("", []), ("abc", [[0, 1, 2]]), ("aaa", [[0], [1], [2]]), ("abacb", [[0, 1, 3], [2, 4]])],
)
def test_a_call_has_at_most_one_event_of_a_key(keys: str, calls: list[list[int]]) -> None:
    assert [[message.reference for message in wave] for wave in waves(messages(keys))] == calls


def test_what_follows_a_refused_event_of_its_key_is_kept_back() -> None:
    sidecar = Sidecar(refused=[0])
    failed = sidecar.publish("topic", messages("aabba"))
    assert sidecar.calls == [[0, 2], [3]]
    assert sorted(failed) == [0, 1, 4]
    assert "before it" in failed[1]


def test_a_later_call_without_an_answer_fails_what_was_in_it() -> None:
    sidecar = Sidecar(unanswered=[1])
    assert sorted(sidecar.publish("topic", messages("aab"))) == [1]
    assert sidecar.calls == [[0, 2], [1]]


def test_nothing_is_known_when_the_first_call_has_no_answer() -> None:
    with pytest.raises(TransientError, match="UNAVAILABLE"):
        Sidecar(unanswered=[0]).publish("topic", messages("aab"))
