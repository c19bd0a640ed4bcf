"""Senders: whose signatures count, and for what. `config/senders.yaml`, read again when it changes.

In: the file and the secrets that it refers to. Out: `Senders`. Invariants: a secret never stands in the file; one that is unset, empty
or of another kind stops the start with file and line; a key id means one key of one sender.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey
from pydantic import Field, StringConstraints, model_validator

from sayso.config_file import ConfigFile, ConfigModel, Location, did_you_mean, load_config
from sayso.contracts.payload import person_key
from sayso.errors import ConfigurationError
from sayso.signing.tokens import Key

FILE_NAME = "senders.yaml"
SECRET_BYTES_MIN = 32
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class KeyRule(ConfigModel):
    """One key of a sender, by reference: exactly one of `env`, `file` and `state_file`."""

    id: Id = Field(description="`kid` of the signatures; unique in the file.")
    algorithm: Literal["EdDSA", "HS256"] = Field("EdDSA", description="`EdDSA` (Ed25519, PEM), or `HS256` (a secret in hex).")
    env: str | None = Field(None, min_length=1, description="The environment variable that holds it.")
    file: Path | None = Field(None, description="The file that holds it; a relative path begins at the configuration folder.")
    state_file: Path | None = Field(None, description="The file in the state folder that holds it: made by `sayso up` for local keys.")
    revoked: bool = Field(False, description="Nothing that it signed counts any more, whenever it was signed.")

    @model_validator(mode="after")
    def _one_reference(self) -> KeyRule:
        given = [name for name in ("env", "file", "state_file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a key needs exactly one of env, file, state_file; it has {' and '.join(given) or 'none'}")
        return self


class SenderRule(ConfigModel):
    """One system that signs."""

    keys: tuple[KeyRule, ...] = Field(min_length=1, description="Two while one takes over from the other.")
    types: tuple[str, ...] = Field(min_length=1, description="The event types that it may sign.")
    topics: tuple[str, ...] = Field(min_length=1, description="The topics on which it may send them.")
    speaks_for: Literal["any", "itself"] | tuple[str, ...] = Field(
        description="Whose decisions it may bring: `any`, `itself` (its `person`), or a list of persons."
    )
    person: str | None = Field(None, min_length=1, description="Who decides when an event names no approver.")

    @model_validator(mode="after")
    def _itself_is_somebody(self) -> SenderRule:
        if self.speaks_for == "itself" and self.person is None:
            raise ValueError("`speaks_for: itself` needs `person`: who it is")
        return self

    def may_speak_for(self, person: str) -> bool:
        """Whether it may bring this person's decisions; two spellings of one id do not make another person."""
        if self.speaks_for == "any":
            return True
        allowed = (self.person or "",) if self.speaks_for == "itself" else self.speaks_for
        return person_key(person) in {person_key(name) for name in allowed}


class SendersFile(ConfigModel):
    """The whole file."""

    senders: dict[Id, SenderRule] = {}


@dataclass(frozen=True)
class Senders:
    """Every sender by its name, and every key by its id."""

    rules: Mapping[str, SenderRule]
    keys: Mapping[str, Key]

    def pen_of(self, sender: str) -> Key:
        """The last key with which this sender can sign here; `ConfigurationError` when there is none."""
        if sender not in self.rules:
            raise ConfigurationError(f'no sender "{sender}" in {FILE_NAME}{did_you_mean(sender, self.rules)}')
        able = [key for key in self.keys.values() if key.sender == sender and key.can_sign]
        if not able:
            raise ConfigurationError(f"{sender} has no key here that signs: its secret is with the sender ({FILE_NAME})")
        return able[-1]


class LiveSenders:
    """The file as it is now: a key that is revoked in it counts for nothing from the next event on, without a restart.

    A file that has become wrong, or is gone, raises `ConfigurationError`: what is being routed waits, and nothing gets in.
    """

    def __init__(self, path: Path, state_dir: Path) -> None:
        self._path = path
        self._state_dir = state_dir
        self._read: tuple[tuple[int, int, int], Senders] | None = None

    def current(self) -> Senders:
        """The senders, read again when the file has changed. Safe on several threads: at worst two read the same file."""
        try:
            seen = self._path.stat()
        except OSError as error:
            raise missing(self._path) from error
        stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
        read = self._read
        if read is None or read[0] != stamp:
            read = self._read = (stamp, load_senders(self._path, self._state_dir))
        return read[1]


def missing(path: Path) -> ConfigurationError:
    """Somebody has to sign, and the file that says who is not there."""
    return ConfigurationError(
        f"{path}: not found, and a binding needs signatures: say in it who may sign (docs/signing.md), or `signature: none` there"
    )


def read_rules(path: Path) -> tuple[SendersFile, ConfigFile]:
    """The file without its secrets; `ConfigurationError` with file, line and field."""
    written, file = load_config(path, SendersFile)
    seen: dict[str, int] = {}
    for name, sender in written.senders.items():
        for index, key in enumerate(sender.keys):
            at: Location = ("senders", name, "keys", index, "id")
            if key.id in seen:
                raise file.error(at, f'the key id "{key.id}" is taken at line {seen[key.id]}; an id means one key')
            seen[key.id] = file.line(at)
    return written, file


def load_senders(path: Path, state_dir: Path, *, local_may_be_missing: bool = False) -> Senders:
    """Read the file and its secrets; `ConfigurationError` with file and line for what is missing, empty or of another kind.

    The files of the state folder come with the first start: who only looks before it may pass over them.
    """
    written, file = read_rules(path)
    keys: dict[str, Key] = {}
    for name, sender in written.senders.items():
        for index, rule in enumerate(sender.keys):
            at: Location = ("senders", name, "keys", index)
            later = local_may_be_missing and rule.state_file is not None and not (state_dir / rule.state_file).exists()
            material = None if rule.revoked or later else _material(rule, _text_of(rule, file, at, state_dir), file, at)
            keys[rule.id] = Key(name, rule.id, rule.algorithm, material)
    return Senders(written.senders, keys)


def place_of(rule: KeyRule, config_dir: Path, state_dir: Path) -> Path | None:
    """The file of a key that is in one."""
    if rule.state_file is not None:
        return state_dir / rule.state_file
    return config_dir / rule.file if rule.file is not None else None


def problem_of(rule: KeyRule, config_dir: Path, state_dir: Path) -> str | None:
    """What is wrong with one key, by itself; None when it can be used."""
    path = config_dir / FILE_NAME
    file = ConfigFile(path)
    try:
        _material(rule, _text_of(rule, file, (), state_dir), file, ())
    except ConfigurationError as error:
        return str(error).partition(": ")[2]
    return None


def _text_of(rule: KeyRule, file: ConfigFile, at: Location, state_dir: Path) -> str:
    if rule.env is not None:
        text, place, advice = os.environ.get(rule.env, ""), f"the environment variable {rule.env}", "set it"
        where: Location = (*at, "env")
    else:
        path = place_of(rule, file.path.parent, state_dir)
        assert path is not None, "a key has a reference"
        where = (*at, "state_file" if rule.state_file is not None else "file")
        place, advice = str(path), f"make it: sayso keys new {at[1] if at else ''}".strip()
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not ASCII"
            raise file.error(where, f'key "{rule.id}": {place} cannot be read ({why}); {advice}') from error
    if not text.strip():
        raise file.error(where, f'key "{rule.id}": {place} is unset or empty; {advice}')
    return text.strip()


def _material(rule: KeyRule, text: str, file: ConfigFile, at: Location) -> OKPKey | OctKey:
    """The key itself. The secret is in no message."""
    if rule.algorithm == "HS256":
        try:
            secret = bytes.fromhex(text)
        except ValueError:
            secret = b""
        if len(secret) < SECRET_BYTES_MIN:
            raise file.error(at, f'key "{rule.id}": an HS256 secret is written in at least {2 * SECRET_BYTES_MIN} hex digits')
        return OctKey.import_key(secret)
    try:
        key = OKPKey.import_key(text)
    except (JoseError, ValueError, TypeError) as error:
        raise file.error(at, f'key "{rule.id}": no Ed25519 key in PEM (openssl genpkey -algorithm ed25519)') from error
    if key.curve_name != "Ed25519":
        raise file.error(at, f'key "{rule.id}": it is a key of {key.curve_name}; EdDSA means Ed25519 here')
    return key
