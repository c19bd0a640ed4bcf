"""`config/directory.yaml`: who gets what where, and what is wrong names its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sayso.directory import Directory, LiveDirectory, load_directory
from sayso.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parents[2]

TEXT = """\
default:
  notify: [sayso-file://]
users:
  alice: {name: Alice, notify: ["json://alice.example"]}
  bob: {name: Bob}
  carol: {name: Carol, notify: ["json://carol.example"]}
groups:
  managers: {name: Managers, members: [alice, bob, carol]}
  finance: {name: Finance, members: [carol], notify: ["json://finance.example"]}
roles:
  director: [carol, finance]
"""


def load(tmp_path: Path, text: str) -> Directory:
    path = tmp_path / "directory.yaml"
    path.write_text(text)
    return load_directory(path)


def test_the_shipped_directory_loads() -> None:
    directory = load_directory(PROJECT / "config/directory.yaml")
    assert set(directory.users) == {"alice", "bob", "carol", "dave", "erin"}
    assert set(directory.groups) == {"managers", "finance"}


@pytest.mark.parametrize(
    ("recipient", "urls"),
    [
        ("alice", ("json://alice.example",)),
        ("bob", ("sayso-file://",)),
        ("finance", ("json://finance.example",)),
        ("managers", ("json://alice.example", "sayso-file://", "json://carol.example")),
        ("director", ("json://carol.example", "json://finance.example")),
        ("nobody@example.com", ("sayso-file://",)),
    ],
)
def test_a_notice_goes_to_own_urls_else_to_members_else_to_the_default(tmp_path: Path, recipient: str, urls: tuple[str, ...]) -> None:
    assert load(tmp_path, TEXT).notify_urls(recipient) == urls


def test_a_person_is_reached_by_groups_and_roles(tmp_path: Path) -> None:
    directory = load(tmp_path, TEXT)
    assert directory.names_of("carol") == {"carol", "managers", "finance", "director"}
    assert directory.names_of("bob") == {"bob", "managers"}
    assert directory.names_of("dave") == {"dave"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[alice, bob, carol]", "[alice, bbo]", ':8: "bbo" is not in the directory; did you mean "bob"?'),
        ("[carol, finance]", "[carol, finanse]", ':11: "finanse" is not in the directory; did you mean "finance"?'),
        ("director: [", "finance: [", ':11: "finance" is already one of the groups; a name means one thing'),
        ("  finance: {", "  bob: {", ':9: "bob" is already one of the users; a name means one thing'),
        ("{name: Bob}", "{nmae: Bob}", ":5: "),
        ("json://alice.example", "alice.example", ":4: users.alice.notify.0: "),
        ("[sayso-file://]", "[]", ":2: default.notify: "),
        ("members: [carol]", "members: []", ":9: groups.finance.members: "),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, TEXT.replace(old, new))
    assert f"directory.yaml{says}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "person", "answer"),
    [
        ("managers", "bob", True),
        ("managers", " BOB ", True),
        ("director", "carol", True),
        ("bob", "bob", True),
        ("finance", "bob", False),
        ("managers", "dave", False),
        ("managers", "managers", False),
        ("nobody", "bob", False),
    ],
)
def test_membership_is_of_persons_in_any_spelling(tmp_path: Path, name: str, person: str, answer: bool) -> None:
    assert load(tmp_path, TEXT).has_member(name, person) is answer


def test_a_live_directory_is_the_file_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "directory.yaml"
    path.write_text(TEXT, encoding="utf-8")
    live = LiveDirectory(path)
    assert live.current() is live.current()
    assert live.current().has_member("managers", "bob")
    path.write_text(TEXT.replace("[alice, bob, carol]", "[alice, carol]"), encoding="utf-8")
    assert not live.current().has_member("managers", "bob")
    path.write_text("groups: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"directory\.yaml"):
        live.current()
    path.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        live.current()


PEOPLE = """\
default:
  notify: [sayso-file://]
time_zone: Europe/Berlin
users:
  alice:
    name: Alice
    manager: bob
  bob:
    name: Bob
    manager: carol
    out_of_office:
      - {from: 2026-12-21, to: 2026-12-31, stand_in: dave}
      - {from: 2027-01-04, to: 2027-01-05}
  carol:
    name: Carol
  dave:
    name: Dave
    out_of_office:
      - {from: 2026-12-28, to: 2026-12-28, stand_in: carol}
"""


def test_managers_are_found_so_many_levels_up_however_the_person_is_spelt(tmp_path: Path) -> None:
    directory = load(tmp_path, PEOPLE)
    assert directory.superior_of(" ALICE ") == "bob"
    assert directory.superior_of("alice", 2) == "carol"
    assert directory.superior_of("alice", 3) is None
    assert directory.superior_of("nobody") is None


@pytest.mark.parametrize(
    ("now", "stand_ins"),
    [
        ("2026-12-20T22:59:59+00:00", ()),
        ("2026-12-20T23:00:00+00:00", ("dave",)),
        ("2026-12-28T12:00:00+00:00", ("dave", "carol")),
        ("2026-12-31T22:59:59+00:00", ("dave",)),
        ("2026-12-31T23:00:00+00:00", ()),
        ("2027-01-04T12:00:00+00:00", ()),
    ],
)
def test_a_stand_in_stands_in_from_the_first_to_the_last_day_and_hands_on(
    tmp_path: Path, now: str, stand_ins: tuple[str, ...]
) -> None:
    assert load(tmp_path, PEOPLE).stand_ins_of("bob", datetime.fromisoformat(now)) == stand_ins


def test_a_name_stands_for_its_users_each_once(tmp_path: Path) -> None:
    directory = load(tmp_path, TEXT)
    assert directory.members_of("bob") == ("bob",)
    assert directory.members_of("managers") == ("alice", "bob", "carol")
    assert directory.members_of("director") == ("carol",)
    assert directory.members_of("nobody") == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("manager: bob", "manager: bbo", ':7: "bbo" is no user; did you mean "bob"?'),
        ("stand_in: dave", "stand_in: dvae", ':12: "dvae" is no user; did you mean "dave"?'),
        ("name: Carol", "name: Carol\n    manager: alice", ":7: nobody is his own manager: alice -> bob -> carol -> alice"),
        ("name: Carol", "name: Carol\n    manager: carol", ":16: nobody is his own manager: carol -> carol"),
        ("stand_in: carol", "stand_in: bob", ":19: nobody stands in for himself: dave -> bob -> dave on 2026-12-28"),
        ("to: 2026-12-31", "to: 2026-12-01", ":12: "),
        ("Europe/Berlin", "Europe/Berln", ':3: time_zone: there is no time zone "Europe/Berln"'),
        ("  carol:", "  Bob:", ':14: "Bob" and "bob" are one person'),
    ],
)
def test_what_cannot_be_of_people_names_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, PEOPLE.replace(old, new, 1) if "Bob" not in new else PEOPLE.replace(old, new).replace("manager: carol", ""))
    assert f"directory.yaml{says}" in str(caught.value)


def test_two_who_are_away_at_different_times_may_stand_in_for_each_other(tmp_path: Path) -> None:
    text = PEOPLE.replace("{from: 2026-12-28, to: 2026-12-28, stand_in: carol}", "{from: 2027-01-01, to: 2027-01-09, stand_in: bob}")
    directory = load(tmp_path, text)
    assert directory.stand_ins_of("dave", datetime(2027, 1, 2, tzinfo=UTC)) == ("bob",)
