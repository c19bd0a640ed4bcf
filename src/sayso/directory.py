"""The directory: who is who, and where their notices go. `config/directory.yaml`, loaded once.

In: the file. Out: a frozen `Directory`. Invariant: a name means one thing (a user, a group or a role), and every member is known;
a file that breaks this stops the start, with its line and the nearest valid name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, PrivateAttr, StringConstraints

from sayso.config_file import ConfigFile, ConfigModel, Location, did_you_mean, load_config
from sayso.contracts.payload import person_key
from sayso.errors import ConfigurationError

NotifyUrl = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*://\S*$")]
"""A URL of apprise, or `sayso-file://`."""


class User(ConfigModel):
    """One person."""

    name: str = Field(min_length=1, description="How the person is shown.")
    notify: tuple[NotifyUrl, ...] = Field((), description="Where notices go; none: the default.")


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
    _file: ConfigFile | None = PrivateAttr(None)

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
        spelt = person_key(person)
        return any(name in self.names_of(user) for user in self.users if person_key(user) == spelt)

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
    _refuse_double_names(directory)
    for name, group in directory.groups.items():
        _refuse_unknown(directory, ("groups", name, "members"), group.members, directory.users)
    for role, holders in directory.roles.items():
        _refuse_unknown(directory, ("roles", role), holders, [*directory.users, *directory.groups])
    return directory


def _refuse_double_names(directory: Directory) -> None:
    seen: dict[str, str] = {}
    for part, names in (("users", directory.users), ("groups", directory.groups), ("roles", directory.roles)):
        for name in names:
            if name in seen:
                raise directory.error((part, name), f'"{name}" is already one of the {seen[name]}; a name means one thing')
            seen[name] = part


def _refuse_unknown(directory: Directory, location: Location, named: tuple[str, ...], known: Mapping[str, User] | list[str]) -> None:
    for index, name in enumerate(named):
        if name not in known:
            raise directory.error((*location, index), f'"{name}" is not in the directory{did_you_mean(name, known)}')
