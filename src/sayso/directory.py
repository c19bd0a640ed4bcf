"""The directory: who is who, whose manager, who stands in for whom, and where notices go. `config/directory.yaml`, loaded once.

In: the file. Out: a frozen `Directory`. Invariant: a name means one thing (a user, a group or a role), every member is known, and
nobody is his own manager or stand-in, over any number of others; a file that breaks this stops the start, with its line and a hint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, StringConstraints, field_validator, model_validator

from sayso.config_file import ConfigFile, ConfigModel, Location, did_you_mean, load_config
from sayso.contracts.payload import person_key
from sayso.errors import ConfigurationError

NotifyUrl = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*://\S*$")]
"""A URL of apprise, or `sayso-file://`."""


class Absence(ConfigModel):
    """Days on which somebody is out of office, the last one included."""

    first: date = Field(alias="from", description="The first day.")
    last: date = Field(alias="to", description="The last day.")
    stand_in: str | None = Field(None, description="The user who stands in; the person stays entitled.")

    @model_validator(mode="after")
    def _in_order(self) -> Absence:
        if self.last < self.first:
            raise ValueError(f"it ends ({self.last}) before it begins ({self.first})")
        return self


class User(ConfigModel):
    """One person."""

    name: str = Field(min_length=1, description="How the person is shown.")
    notify: tuple[NotifyUrl, ...] = Field((), description="Where notices go; none: the default.")
    manager: str | None = Field(None, description="The user whom this one reports to.")
    out_of_office: tuple[Absence, ...] = Field((), description="When the person is away, and who stands in.")

    def stand_in_on(self, day: date) -> str | None:
        """Who stands in on this day, if anybody."""
        away = (absence for absence in self.out_of_office if absence.stand_in is not None and absence.first <= day <= absence.last)
        return next((absence.stand_in for absence in away), None)


class Group(ConfigModel):
    """Several persons under one name."""

    name: str = Field(min_length=1, description="How the group is shown.")
    members: tuple[str, ...] = Field(min_length=1, description="Ids of users.")
    notify: tuple[NotifyUrl, ...] = Field((), description="Where notices go; none: to each member.")


class Fallback(ConfigModel):
    """For whoever has no notify URL, and for recipients that the directory does not know."""

    notify: tuple[NotifyUrl, ...] = Field(min_length=1, description="Where such notices go.")


class Directory(ConfigModel):
    """The whole file."""

    default: Fallback
    users: dict[str, User] = Field(min_length=1)
    groups: dict[str, Group] = {}
    roles: dict[str, tuple[str, ...]] = Field({}, description="Role: users and groups that have it.")
    time_zone: str = Field("UTC", description="Where a day of `out_of_office` begins and ends: Europe/Berlin.")
    _file: ConfigFile | None = PrivateAttr(None)
    _persons: dict[str, str] = PrivateAttr({})

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (ValueError, OSError, LookupError) as error:
            raise ValueError(f'there is no time zone "{name}"; write for example Europe/Berlin') from error

    def model_post_init(self, _context: Any, /) -> None:
        """Every user by what all spellings of the id have in common."""
        self._persons = {person_key(user): user for user in reversed(self.users)}

    def user_of(self, person: str) -> str | None:
        """The user that is this person, however spelt."""
        return self._persons.get(person_key(person))

    def members_of(self, name: str) -> tuple[str, ...]:
        """The users that a user's, group's or role's name stands for, each once, in the file's order."""
        if name in self.users:
            return (name,)
        if name in self.groups:
            return tuple(dict.fromkeys(self.groups[name].members))
        return tuple(dict.fromkeys(user for holder in self.roles.get(name, ()) for user in self.members_of(holder)))

    def superior_of(self, person: str, levels_up: int = 1) -> str | None:
        """The manager, the manager's manager (`levels_up` 2), and so on; None when there are not so many."""
        found = self.user_of(person)
        for _ in range(levels_up):
            found = self.users[found].manager if found is not None else None
        return found

    def stand_ins_of(self, user: str, now: datetime) -> tuple[str, ...]:
        """Who stands in for this user now: the stand-in, and as long as that one is away too, the next one."""
        return self._stand_ins(user, now.astimezone(ZoneInfo(self.time_zone)).date())

    def _stand_ins(self, user: str, day: date) -> tuple[str, ...]:
        chain: list[str] = []
        following = self.users[user].stand_in_on(day)
        while following is not None and following not in chain:
            chain.append(following)
            following = self.users[following].stand_in_on(day)
        return tuple(chain)

    def notify_urls(self, recipient: str) -> tuple[str, ...]:
        """Where a notice for this user, group or role goes, each URL once; never empty."""
        return tuple(dict.fromkeys(self._urls_of(recipient))) or self.default.notify

    def _urls_of(self, recipient: str) -> Iterator[str]:
        if recipient in self.users:
            yield from self.users[recipient].notify or self.default.notify
        elif recipient in self.groups:
            group = self.groups[recipient]
            yield from group.notify
            if not group.notify:
                for member in group.members:
                    yield from self._urls_of(member)
        else:
            for holder in self.roles.get(recipient, ()):
                yield from self._urls_of(holder)

    def names_of(self, user: str) -> frozenset[str]:
        """Every name that reaches this user: the user's own, and those of the groups and roles that the user belongs to."""
        names = {user} | {name for name, group in self.groups.items() if user in group.members}
        return frozenset(names | {role for role, holders in self.roles.items() if names & set(holders)})

    def has_member(self, name: str, person: str) -> bool:
        """Whether this person, however spelt, is, or belongs to, the user, group or role of this name."""
        user = self.user_of(person)
        return user is not None and name in self.names_of(user)

    def all_notify_urls(self) -> Iterator[tuple[Location, str]]:
        """Every URL of the file, with its place."""
        parts: Mapping[str, Mapping[str, User | Group]] = {"users": self.users, "groups": self.groups}
        for index, url in enumerate(self.default.notify):
            yield ("default", "notify", index), url
        for part, entries in parts.items():
            for name, entry in entries.items():
                for index, url in enumerate(entry.notify):
                    yield (part, name, "notify", index), url

    def error(self, location: Location, message: str) -> ConfigurationError:
        """A `ConfigurationError` about this place of the file."""
        if self._file is not None:
            return self._file.error(location, message)
        return ConfigurationError(f"directory, {'.'.join(str(part) for part in location)}: {message}")


class LiveDirectory:
    """The file as it is now: who is taken out of a group may not decide from the next delivery on.

    A file that has become wrong, or is gone, raises `ConfigurationError`: a right is never looked up in yesterday's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int, int], Directory] | None = None

    def current(self) -> Directory:
        """The directory, read again when the file has changed. Safe on several threads: at worst two read the same file."""
        try:
            seen = self._path.stat()
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}") from error
        stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
        read = self._read
        if read is None or read[0] != stamp:
            read = self._read = (stamp, load_directory(self._path))
        return read[1]


def load_directory(path: Path) -> Directory:
    """Read and check `directory.yaml`, or raise `ConfigurationError` with file, line and the nearest valid name."""
    directory, file = load_config(path, Directory)
    directory._file = file
    check_directory(directory)
    return directory


def check_directory(directory: Directory) -> None:
    """Raise `ConfigurationError` when what it says cannot be, wherever it comes from."""
    _refuse_double_names(directory)
    for name, group in directory.groups.items():
        _refuse_unknown(directory, ("groups", name, "members"), group.members, directory.users)
    for role, holders in directory.roles.items():
        _refuse_unknown(directory, ("roles", role), holders, [*directory.users, *directory.groups])
    for name, user in directory.users.items():
        _refuse_unknown_person(directory, ("users", name, "manager"), user.manager)
        for index, absence in enumerate(user.out_of_office):
            _refuse_unknown_person(directory, ("users", name, "out_of_office", index, "stand_in"), absence.stand_in)
    for name in directory.users:
        _refuse_circles(directory, name)


def _refuse_unknown_person(directory: Directory, location: Location, named: str | None) -> None:
    if named is not None and named not in directory.users:
        raise directory.error(location, f'"{named}" is no user{did_you_mean(named, directory.users)}')


def _refuse_circles(directory: Directory, name: str) -> None:
    """A circle of stand-ins is closed on the day on which the last of its absences begins, so the first days are enough."""
    chain, boss = [name], directory.users[name].manager
    while boss is not None and boss not in chain:
        chain.append(boss)
        boss = directory.users[boss].manager
    if boss == name:
        raise directory.error(("users", name, "manager"), f"nobody is his own manager: {' -> '.join([*chain, name])}")
    for index, absence in enumerate(directory.users[name].out_of_office):
        chain = list(directory._stand_ins(name, absence.first))
        if name in chain:
            way = " -> ".join([name, *chain[: chain.index(name) + 1]])
            where = ("users", name, "out_of_office", index, "stand_in")
            raise directory.error(where, f"nobody stands in for himself: {way} on {absence.first}")


def _refuse_double_names(directory: Directory) -> None:
    seen: dict[str, str] = {}
    for part, names in (("users", directory.users), ("groups", directory.groups), ("roles", directory.roles)):
        for name in names:
            if name in seen:
                raise directory.error((part, name), f'"{name}" is already one of the {seen[name]}; a name means one thing')
            seen[name] = part
    for name in directory.users:
        other = directory.user_of(name)
        if other != name:
            raise directory.error(
                ("users", name), f'"{name}" and "{other}" are one person; case and invisible characters do not count'
            )


def _refuse_unknown(directory: Directory, location: Location, named: tuple[str, ...], known: Mapping[str, User] | list[str]) -> None:
    for index, name in enumerate(named):
        if name not in known:
            raise directory.error((*location, index), f'"{name}" is not in the directory{did_you_mean(name, known)}')
