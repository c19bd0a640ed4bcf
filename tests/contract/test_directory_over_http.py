"""The directory over real HTTP: users, managers, absences and groups as SCIM has them, kept for a while, and never older than that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from scim_server import ScimServer

from sayso.directory import Directory, LiveDirectory
from sayso.directory_http import ABSENCES, ENTERPRISE, HttpDirectory, directory_source
from sayso.errors import ConfigurationError, TransientError
from sayso.settings import DirectorySettings, Settings

REST = "default: {notify: [sayso-file://]}\nroles: {director: [carol, finance]}\ntime_zone: Europe/Berlin\n"


def user(number: str, name: str, manager: str | None = None, **more: Any) -> dict[str, Any]:
    boss = {ENTERPRISE: {"manager": {"value": manager}, "department": "any"}} if manager is not None else {}
    return {"schemas": ["any"], "id": number, "userName": name, "displayName": name.title(), "active": True, **boss, **more}


@pytest.fixture
def server() -> Iterator[ScimServer]:
    scim = ScimServer()
    away = {"outOfOffice": [{"from": "2026-12-21", "to": "2026-12-31", "standIn": "carol"}]}
    scim.users = [
        user("1", "alice", "2"),
        user("2", "bob", "3", **{ABSENCES: away}),
        user("3", "carol", roles=[{"value": "board"}]),
        user("4", "dave", "2", active=False),
        user("5", "erin", "4"),
    ]
    scim.groups = [
        {"id": "g", "displayName": "finance", "members": [{"value": "2"}, {"value": "4"}, {"value": "9"}]},
        {"id": "h", "displayName": "nobody", "members": [{"value": "4"}]},
    ]
    yield scim
    scim.close()


@pytest.fixture
def rest(tmp_path: Path) -> Path:
    path = tmp_path / "directory.yaml"
    path.write_text(REST, encoding="utf-8")
    return path


class Hands:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def source(server: ScimServer, rest: Path, clock: Hands | None = None, **settings: Any) -> HttpDirectory:
    return HttpDirectory(DirectorySettings(url=server.url + "/", **settings), rest, clock or Hands())


def read(server: ScimServer, rest: Path) -> Directory:
    return source(server, rest).current()


def test_users_groups_roles_managers_and_stand_ins_are_those_of_the_server(server: ScimServer, rest: Path) -> None:
    directory = read(server, rest)
    assert list(directory.users) == ["alice", "bob", "carol", "erin"]
    assert directory.superior_of("alice", 2) == "carol"
    assert directory.members_of("finance") == ("bob",)
    assert directory.members_of("director") == ("carol", "bob")
    assert directory.members_of("board") == ("carol",)
    assert directory.stand_ins_of("bob", datetime(2026, 12, 20, 23, 30, tzinfo=UTC)) == ("carol",)
    assert directory.notify_urls("alice") == ("sayso-file://",)


def test_who_is_not_active_is_nobody_manages_nobody_and_belongs_to_nothing(server: ScimServer, rest: Path) -> None:
    directory = read(server, rest)
    assert directory.user_of("dave") is None
    assert directory.superior_of("erin") is None
    assert "nobody" not in directory.groups


def test_it_is_read_page_by_page_with_the_token(server: ScimServer, rest: Path) -> None:
    source(server, rest, token=SecretStr("secret")).current()
    assert server.calls == [("Users", "Bearer secret")] * 3 + [("Groups", "Bearer secret")]


def test_it_is_kept_for_its_time_and_then_read_again(server: ScimServer, rest: Path) -> None:
    clock = Hands()
    people = source(server, rest, clock, max_age=timedelta(seconds=60))
    assert people.current() is people.current()
    server.groups = []
    clock.now = 60.0
    assert people.current().has_member("finance", "bob")
    clock.now = 60.1
    assert not people.current().has_member("finance", "bob")


def test_what_is_too_old_is_not_used_when_the_server_does_not_answer(server: ScimServer, rest: Path) -> None:
    clock = Hands()
    people = source(server, rest, clock)
    people.current()
    server.status = 503
    clock.now = 61.0
    with pytest.raises(TransientError, match=r"/Users answers 503"):
        people.current()
    server.status = 200
    assert people.current().user_of("bob") == "bob"
    server.close()
    clock.now = 200.0
    with pytest.raises(TransientError, match=r"/Users does not answer"):
        people.current()


@pytest.mark.parametrize(
    ("status", "raw", "says"),
    [
        (401, b"", "does not let us in (401); is directory.token right?"),
        (200, b"<html>", "does not answer in SCIM: "),
        (200, b'{"totalResults": 1, "Resources": [{"id": "7"}]}', "Users 7: `userName`: field required"),
        (200, b'{"totalResults": 0}', "`users`: dictionary should have at least 1 item"),
    ],
)
def test_what_cannot_be_read_says_what_is_wrong(server: ScimServer, rest: Path, status: int, raw: bytes, says: str) -> None:
    server.status, server.raw = status, raw
    with pytest.raises(ConfigurationError) as caught:
        read(server, rest)
    assert says in str(caught.value)
    assert "the directory at http://127.0.0.1:" in str(caught.value)


def test_a_role_of_the_file_that_names_a_stranger_is_a_slip_at_first_and_later_one_who_has_left(
    server: ScimServer, rest: Path
) -> None:
    clock = Hands()
    people = source(server, rest, clock)
    people.current()
    server.groups = []
    clock.now = 100.0
    assert people.current().members_of("director") == ("carol",)
    with pytest.raises(ConfigurationError, match=r'roles.director.1: "finance" is not in the directory'):
        read(server, rest)


def test_a_circle_of_managers_is_refused_as_in_the_file(server: ScimServer, rest: Path) -> None:
    server.users[2] |= {ENTERPRISE: {"manager": {"value": "1"}}}
    with pytest.raises(ConfigurationError, match="nobody is his own manager: alice -> bob -> carol -> alice"):
        read(server, rest)


def test_people_in_the_file_beside_a_server_are_an_error(server: ScimServer, rest: Path) -> None:
    rest.write_text(REST + "users: {alice: {name: Alice}}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r'directory.yaml:4: unknown field "users"'):
        source(server, rest)


def test_the_settings_choose_between_server_and_file(server: ScimServer, rest: Path) -> None:
    of_file = directory_source(Settings(config_dir=rest.parent))
    assert isinstance(of_file, LiveDirectory)
    of_server = directory_source(Settings(config_dir=rest.parent, directory=DirectorySettings(url=server.url)))
    assert of_server.current().user_of("alice") == "alice"
