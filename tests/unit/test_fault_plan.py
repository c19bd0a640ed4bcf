"""Stories and strikes: the same for the same seed, and all of what they promise."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from sayso.simulator.observed import Intent
from sayso.testing.fault_run.stories import stories
from sayso.testing.fault_run.strikes import KINDS, Plan

PROCESSES = ("valkey", "toxiproxy", "placement", "scheduler", "partners", "subscribers", "worker", "daprd", "worker-2")


def test_the_same_seed_tells_the_same_stories() -> None:
    assert list(islice(stories(7), 50)) == list(islice(stories(7), 50))
    assert list(islice(stories(7), 50)) != list(islice(stories(8), 50))


def test_stories_have_every_intent_and_repetitions() -> None:
    messages = [message for story in islice(stories(1), 400) for message in story]
    assert {message.intent for message in messages} == set(Intent) - {Intent.AMEND}  # the simulator's `stages` have those
    assert len({(message.topic, message.body) for message in messages}) < len(messages)


def test_each_message_that_is_not_garbage_has_an_identity_and_those_of_one_identity_may_contradict() -> None:
    messages = [message for story in islice(stories(1), 400) for message in story]
    assert not [message for message in messages if (message.event_id == "") != (message.intent is Intent.MALFORMED)]
    contents = Counter(event_id for event_id, _ in {(message.event_id, message.content) for message in messages if message.event_id})
    assert max(contents.values()) == 2


def test_the_same_seed_strikes_the_same_way_and_never_the_proxy() -> None:
    strikes = list(islice(Plan(7, PROCESSES, ("daprd-valkey",)).strikes(), 300))
    assert strikes == list(islice(Plan(7, PROCESSES, ("daprd-valkey",)).strikes(), 300))
    assert {strike.kind for strike in strikes} == set(KINDS)
    victims = {victim for strike in strikes for victim in strike.victims}
    assert victims == {*PROCESSES, "daprd-valkey"} - {"toxiproxy"}


def test_a_stack_without_proxies_is_not_cut() -> None:
    assert "cut" not in {strike.kind for strike in islice(Plan(7, PROCESSES, ()).strikes(), 300)}
