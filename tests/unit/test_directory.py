"""`config/directory.yaml`: who gets what where, and what is wrong names its line."""

from __future__ import annotations

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
    assert set(directory.users) == {"alice", "bob", "carol"}
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
