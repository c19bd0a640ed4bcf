"""The directory over HTTP: users and groups as SCIM 2.0 (RFC 7643, RFC 7644) has them, read page by page and kept for a while.

In: `GET URL/Users` and `GET URL/Groups`; `default`, `roles` and `time_zone` from `directory.yaml`. Out: the same frozen `Directory` as
the file gives. Invariant: a right is never looked up in what is older than `max_age`: then the server is asked; if it does not answer,
a `TransientError` lets the decision wait, rather than judging it by what may not be true any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sayso.config_file import ConfigModel, load_config
from sayso.contracts.payload import explain
from sayso.directory import Absence, Directory, Fallback, Group, LiveDirectory, User, check_directory
from sayso.errors import ConfigurationError, TransientError
from sayso.settings import DirectorySettings, Settings

PAGE = 200
PAGES_MAX = 1_000
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ABSENCES = "urn:sayso:params:scim:schemas:extension:absence:1.0:User"
"""Our own extension: `outOfOffice`, a list of `{from, to, standIn}` with user names; SCIM has none."""


class DirectorySource(Protocol):
    """Whoever knows who is who now."""

    def current(self) -> Directory:
        """The directory as it is now, or an error that says why not."""


def directory_source(settings: Settings) -> DirectorySource:
    """The server that the settings name, or else the file."""
    path = settings.config_dir / "directory.yaml"
    return HttpDirectory(settings.directory, path) if settings.directory.url is not None else LiveDirectory(path)


class _Tolerant(BaseModel):
    """SCIM has many more attributes."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class _Reference(_Tolerant):
    value: str


class _Enterprise(_Tolerant):
    manager: _Reference | None = None


class _Away(_Tolerant):
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    stand_in: str | None = Field(None, alias="standIn")


class _Absences(_Tolerant):
    out_of_office: tuple[_Away, ...] = Field((), alias="outOfOffice")


class _ScimUser(_Tolerant):
    id: str
    user_name: str = Field(alias="userName", min_length=1)
    display_name: str | None = Field(None, alias="displayName")
    active: bool = True
    roles: tuple[_Reference, ...] = ()
    enterprise: _Enterprise = Field(_Enterprise(), alias=ENTERPRISE)
    absences: _Absences = Field(_Absences(), alias=ABSENCES)


class _ScimGroup(_Tolerant):
    display_name: str = Field(alias="displayName", min_length=1)
    members: tuple[_Reference, ...] = ()


class _Page(_Tolerant):
    total: int = Field(alias="totalResults", ge=0)
    resources: tuple[dict[str, Any], ...] = Field((), alias="Resources")


Entry = TypeVar("Entry", bound=BaseModel)


class _Rest(ConfigModel):
    """What stays in `directory.yaml` when the people come from a server."""

    default: Fallback
    roles: dict[str, tuple[str, ...]] = {}
    time_zone: str = "UTC"


class HttpDirectory:
    """Reads the server at most once in `max_age`; safe on several threads, of which one reads."""

    def __init__(self, settings: DirectorySettings, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._rest, self._file = load_config(path, _Rest)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read: tuple[float, Directory] | None = None

    def current(self) -> Directory:
        """The directory, read again when what is known is too old."""
        with self._lock:
            now = self._monotonic()
            if self._read is None or now - self._read[0] > self._settings.max_age.total_seconds():
                self._read = (now, self._fetch())
            return self._read[1]

    def _fetch(self) -> Directory:
        with self._client() as client:
            users = [self._valid(_ScimUser, entry, "Users") for entry in self._all(client, "Users")]
            groups = [self._valid(_ScimGroup, entry, "Groups") for entry in self._all(client, "Groups")]
        try:
            directory = _directory(self._rest, [user for user in users if user.active], groups, first=self._read is None)
        except ValidationError as error:
            raise ConfigurationError(f"the directory at {self._settings.url}: {explain(error)}") from error
        check_directory(directory)
        return directory

    def _client(self) -> httpx2.Client:
        token = self._settings.token
        headers = {"accept": "application/scim+json, application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token.get_secret_value()}"
        return httpx2.Client(headers=headers, timeout=self._settings.timeout.total_seconds())

    def _all(self, client: httpx2.Client, kind: str) -> Iterator[dict[str, Any]]:
        """Every entry, page by page."""
        begin = 1
        for _ in range(PAGES_MAX):
            page = self._page(client, kind, begin)
            yield from page.resources
            begin += len(page.resources)
            if begin > page.total or not page.resources:
                return
        raise ConfigurationError(f"the directory at {self._settings.url} has more than {PAGES_MAX * PAGE} {kind}")

    def _page(self, client: httpx2.Client, kind: str, begin: int) -> _Page:
        url = f"{str(self._settings.url).rstrip('/')}/{kind}"
        try:
            answer = client.get(url, params={"startIndex": begin, "count": PAGE})
        except httpx2.HTTPError as error:
            raise TransientError(f"the directory at {url} does not answer ({type(error).__name__}: {error})") from error
        if answer.status_code in (401, 403):
            raise ConfigurationError(f"the directory at {url} does not let us in ({answer.status_code}); is directory.token right?")
        if not answer.is_success:
            raise TransientError(f"the directory at {url} answers {answer.status_code}")
        try:
            return _Page.model_validate_json(answer.content)
        except ValidationError as error:
            raise ConfigurationError(
                f"the directory at {url} does not answer in SCIM: {explain(error)}; is directory.url right?"
            ) from error

    def _valid(self, kind: type[Entry], entry: dict[str, Any], name: str) -> Entry:
        try:
            return kind.model_validate(entry)
        except ValidationError as error:
            raise ConfigurationError(f"the directory at {self._settings.url}, {name} {entry.get('id')}: {explain(error)}") from error


def _directory(rest: _Rest, users: list[_ScimUser], groups: list[_ScimGroup], *, first: bool) -> Directory:
    """References by id become names. Whoever is not active belongs to nothing, manages nobody and stands in for nobody.

    A role of the file whose holder is not on the server is a slip when it is read `first`, later somebody who has left.
    """
    names = {user.id: user.user_name for user in users}
    members = {group.display_name: tuple(names[one.value] for one in group.members if one.value in names) for group in groups}
    there = {*names.values(), *(name for name, who in members.items() if who)}
    roles = {name: tuple(one for one in holders if first or one in there) for name, holders in rest.roles.items()}
    for user in users:
        for role in user.roles:
            roles[role.value] = (*roles.get(role.value, ()), user.user_name)
    return Directory(
        default=rest.default,
        users={user.user_name: _user(user, names) for user in users},
        groups={name: Group(name=name, members=who) for name, who in members.items() if who},
        roles=roles,
        time_zone=rest.time_zone,
    )


def _user(user: _ScimUser, names: dict[str, str]) -> User:
    manager = user.enterprise.manager
    known = set(names.values())
    away = [
        Absence.model_validate({"from": one.first, "to": one.last, "stand_in": one.stand_in if one.stand_in in known else None})
        for one in user.absences.out_of_office
    ]
    return User(
        name=user.display_name or user.user_name,
        manager=names.get(manager.value) if manager is not None else None,
        out_of_office=tuple(away),
    )
