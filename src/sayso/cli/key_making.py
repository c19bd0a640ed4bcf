"""Making and listing the keys of senders. `senders.yaml` is a person's file: what to write there is said, not written.

In: a sender's name. Out: files that their owner alone can read, and the lines for `senders.yaml`. No secret is ever printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sayso.cli.output import out, print_json, printable, say, table
from sayso.errors import ConfigurationError
from sayso.secret_file import write_secret_once
from sayso.settings import Settings, load_settings
from sayso.signing.local_keys import new_secret, public_half
from sayso.signing.senders import FILE_NAME, KeyRule, SenderRule, place_of, problem_of
from sayso.signing.startup import rules_of

KEYS = "keys"


@dataclass(frozen=True)
class Made:
    """A key that was made. `public` is what Sayso reads, where that is not the secret itself."""

    sender: str
    id: str
    algorithm: str
    secret: str
    public: str | None
    line: str


def new_key(sender: str, algorithm: str, folder: Path | None, *, as_json: bool) -> None:
    """The files that the sender's keys name and that are missing; for a sender that is not there yet, its first key."""
    settings = load_settings()
    rule = rules_of(settings).senders.get(sender)
    if rule is not None:
        _make_missing(sender, rule, settings, as_json=as_json)
        return
    _refuse_no_name(sender)
    made = _made(sender, f"{sender}-1", algorithm, folder, settings)
    if as_json:
        print_json(made)
        return
    _say_made(made)
    say(f"write into {settings.config_dir / FILE_NAME}:")
    out().print(
        f"  {sender}:\n    types: [sayso.approval.decided.v1]\n    topics: [approvals]\n"
        f"    speaks_for: []  # whose decisions it may bring: names, any, or itself (with `person`)\n    keys:\n      - {made.line}",
        markup=False,
    )


def rotate_key(sender: str, folder: Path | None, *, as_json: bool) -> None:
    """The next key, of the kind of the last one."""
    settings = load_settings()
    rule = rules_of(settings).senders.get(sender)
    if rule is None:
        raise ConfigurationError(f"no sender {printable(sender)} in {FILE_NAME}; its first key: sayso keys new {printable(sender)}")
    last = rule.keys[-1]
    made = _made(sender, _next_id(last.id, rule), last.algorithm, folder, settings, local=last.state_file is not None)
    if as_json:
        print_json(made)
        return
    _say_made(made)
    say(f"1. add to the keys of {sender} in {settings.config_dir / FILE_NAME}; both keys count then, without a restart:")
    out().print(f"      - {made.line}", markup=False)
    say(f"2. let {sender} sign with the new one  3. write `revoked: true` at {last.id}: nothing that it signed counts any more")


def show_keys(*, as_json: bool) -> int:
    """A row a key; 1 when one cannot be used."""
    settings = load_settings()
    senders = rules_of(settings).senders
    rows = [
        {
            "sender": name,
            "id": key.id,
            "algorithm": key.algorithm,
            "place": _where(key, settings),
            "state": "revoked" if key.revoked else problem_of(key, settings.config_dir, settings.state_dir) or "usable",
        }
        for name, rule in senders.items()
        for key in rule.keys
    ]
    if as_json:
        print_json(rows)
    else:
        cells = [[printable(cell) for cell in row.values()] for row in rows]
        out().print(table(("SENDER", "KEY", "ALGORITHM", "WHERE", "STATE"), cells))
    return 0 if all(row["state"] in ("usable", "revoked") for row in rows) else 1


def _make_missing(sender: str, rule: SenderRule, settings: Settings, *, as_json: bool) -> None:
    made = []
    for key in rule.keys:
        path = place_of(key, settings.config_dir, settings.state_dir)
        if path is None or key.revoked or path.exists():
            continue
        if key.file is not None and key.algorithm == "EdDSA":
            raise ConfigurationError(f"{path} is the public half of a key that {sender} has: let {sender} send it")
        write_secret_once(path, new_secret(key.algorithm))
        made.append(str(path))
    if not made:
        raise ConfigurationError(f"{sender} has its keys; the next one: sayso keys rotate {sender}")
    if as_json:
        print_json({"sender": sender, "made": made})
        return
    for path_made in made:
        say(f"made {path_made}, for its owner alone")


def _made(sender: str, key_id: str, algorithm: str, folder: Path | None, settings: Settings, *, local: bool = False) -> Made:
    place = folder or settings.state_dir / KEYS
    suffix = "pem" if algorithm == "EdDSA" else "hex"
    secret = place / f"{key_id}.{suffix}"
    text = new_secret(algorithm)
    if not write_secret_once(secret, text):
        raise ConfigurationError(f"{secret} is there already; nothing was made")
    public = None
    if algorithm == "EdDSA" and not local:
        public = place / f"{key_id}.public.pem"
        public.write_text(public_half(text), encoding="ascii")
    reference = f"state_file: {KEYS}/{secret.name}" if local and folder is None else f"file: {(public or secret).resolve()}"
    return Made(
        sender,
        key_id,
        algorithm,
        str(secret),
        str(public) if public else None,
        f"{{id: {key_id}, algorithm: {algorithm}, {reference}}}",
    )


def _say_made(made: Made) -> None:
    if made.public is None:
        say(f"made {made.secret}, for its owner alone")
    else:
        say(f"made {made.secret} for {made.sender} alone, and {made.public} for Sayso")


def _next_id(last: str, rule: SenderRule) -> str:
    """`erp-1` → `erp-2`; a name without a number gets one."""
    found = re.fullmatch(r"(.*?)-?(\d+)", last)
    stem, number = (found[1], int(found[2])) if found else (last, 1)
    taken = {key.id for key in rule.keys}
    while f"{stem}-{number}" in taken or number == (int(found[2]) if found else 1):
        number += 1
    return f"{stem}-{number}"


def _refuse_no_name(sender: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", sender):
        raise ConfigurationError(f"{printable(sender)} is no name of a sender: letters, digits, `.`, `_` and `-`")


def _where(key: KeyRule, settings: Settings) -> str:
    path = place_of(key, settings.config_dir, settings.state_dir)
    return str(path) if path is not None else f"environment variable {key.env}"
