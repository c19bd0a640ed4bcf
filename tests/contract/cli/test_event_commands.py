"""`sayso events`, `event`, `outbox`: what became of a message, whatever it was."""

from __future__ import annotations

import base64

from answers import Sayso
from ledger_world import PURCHASE, World, cloudevent, purchase


def test_an_event_shows_state_reason_case_and_its_original_bytes(world: World, sayso: Sayso) -> None:
    world.receive("purchases", b'{"specversion":"1.0","id":"p-1","source":"/shop","type":"%s",' % PURCHASE.encode())
    world.route()
    page = sayso("event", "1")
    assert "rejected: not JSON" in page.out
    assert '"id":"p-1"' in page.out


def test_json_is_indented_and_its_numbers_stay_as_they_are(world: World, sayso: Sayso) -> None:
    body = cloudevent(PURCHASE, purchase(), "p-1").replace(b"1200", b"1200.50")
    world.receive("purchases", body)
    world.route()
    page = sayso("event", "p-1")
    assert '    "cost": 1200.50,' in page.out
    assert "started: opened purchase_order-PO-1" in page.out
    assert "sayso case PO-1" in page.err


def test_bytes_that_are_no_text_are_written_out(world: World, sayso: Sayso) -> None:
    world.receive("purchases", b"\xff\xfe\x1b[31m")
    world.receive("purchases", b"")
    world.route()
    page = sayso("event", "1")
    assert r"\xff\xfe\x1b[31m" in page.out
    assert "\x1b" not in page.out
    event = sayso("event", "1", "--json").json["event"]
    assert event["original"] is None
    assert base64.b64decode(event["original_base64"]) == b"\xff\xfe\x1b[31m"
    assert "(no bytes)" in sayso("event", "2").out


def test_a_repetition_shows_as_a_sighting(world: World, sayso: Sayso) -> None:
    for _ in range(3):
        world.receive("purchases", cloudevent(PURCHASE, purchase(), "p-1"))
    world.route()
    assert "seen      3 times" in sayso("event", "p-1").out
    assert "event 1 seen again, 3 times in all" in sayso("case", "PO-1").out


def test_a_dead_letter_is_named(world: World, sayso: Sayso) -> None:
    world.buy()
    world.close()
    world.decide()
    detail = sayso("event", "#2", "--json").json
    assert detail["event"]["state"] == "late"
    assert [letter["topic"] for letter in detail["dead_letters"]] == ["deadletters"]
    assert "dead      letter on deadletters" in sayso("event", "#2").out


def test_the_same_id_from_two_sources_is_listed_and_a_source_chooses(world: World, sayso: Sayso) -> None:
    for source in ("/a", "/b"):
        world.receive("purchases", cloudevent(PURCHASE, purchase(f"PO{source}"), "same", source))
    world.route()
    both = sayso("event", "same", "--json")
    assert (both.code, len(both.json)) == (1, 2)
    assert "choose one by its number" in both.err
    assert sayso("event", "same", "--source", "/b", "--json").json["event"]["key"] == "PO/b"
    assert sayso("event", "same", "--source", "/c").code == 1


def test_an_event_of_sayso_itself_is_found_by_its_id(world: World, sayso: Sayso) -> None:
    world.buy()
    (row,) = sayso("outbox", "--pending", "--json").json
    assert sayso("event", row["event_id"]).out.startswith("published by Sayso: not published yet")


def test_events_are_filtered_by_state_and_topic(world: World, sayso: Sayso) -> None:
    world.buy()
    world.pay("PO-2")
    assert [event["number"] for event in sayso("events", "--json").json] == [2, 1]
    assert [event["state"] for event in sayso("events", "--state", "held", "--json").json] == ["held"]
    assert [event["topic"] for event in sayso("events", "--topic", "purchases", "--json").json] == ["purchases"]
    assert sayso("events", "--limit", "1", "--json").json[0]["number"] == 2


def test_a_misspelt_state_names_the_nearest(world: World, sayso: Sayso) -> None:
    del world
    answer = sayso("events", "--state", "consumd")
    assert (answer.code, 'did you mean "consumed"?' in answer.err) == (2, True)


def test_what_is_not_there_is_not_found(world: World, sayso: Sayso) -> None:
    del world
    answer = sayso("event", "nothing\x1b[2J")
    assert answer.code == 1
    assert "\x1b" not in answer.err


def test_an_argument_that_is_no_text_is_a_usage_error(world: World, sayso: Sayso) -> None:
    del world
    assert sayso("event", "\udcff").code == 2


def test_without_a_ledger_every_question_says_what_to_do_and_creates_none(sayso: Sayso, place: object) -> None:
    del place
    for arguments in (["events"], ["event", "1"], ["cases"], ["case", "PO-1"], ["tasks"], ["outbox"], ["case", "PO-1", "--watch"]):
        answer = sayso(*arguments)
        assert answer.code == 2
        assert "no ledger at" in answer.err
        assert "sayso up" in answer.err
        assert "Traceback" not in answer.err
