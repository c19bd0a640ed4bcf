"""`senders.yaml`: keys by reference, checked at load with file and line; a change counts from the next event on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OKPKey

from sayso.errors import ConfigurationError
from sayso.signing.local_keys import make_local_keys, new_secret, public_half
from sayso.signing.senders import LiveSenders, Senders, load_senders

Load = Callable[..., Senders]
SENDER = """\
senders:
  erp:
    types: [sayso.approval.decided.v1]
    topics: [approvals]
    speaks_for: any
    keys:
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(*keys: str, sender: str = SENDER) -> Senders:
        file = tmp_path / "senders.yaml"
        file.write_text(sender + "".join(f"      - {key}\n" for key in keys))
        return load_senders(file, tmp_path / "state")

    return load


def test_keys_come_from_the_environment_a_file_and_the_state_folder(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_SECRET", "ab" * 32)
    secret = new_secret("EdDSA")
    (tmp_path / "erp.pem").write_text(public_half(secret))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "own.pem").write_text(secret)
    found = load("{id: a, algorithm: HS256, env: ERP_SECRET}", "{id: b, file: erp.pem}", "{id: c, state_file: own.pem}")
    assert [(key.id, key.can_sign) for key in found.keys.values()] == [("a", True), ("b", False), ("c", True)]
    assert "ab" * 32 not in repr(found)


@pytest.mark.parametrize(
    ("key", "line", "complaint"),
    [
        ("{id: a, env: UNSET_HERE}", 7, "the environment variable UNSET_HERE is unset or empty; set it"),
        ("{id: a, file: none.pem}", 7, "none.pem cannot be read (No such file or directory); make it: sayso keys new erp"),
        ("{id: a, file: empty.pem}", 7, "empty.pem is unset or empty"),
        ("{id: a, algorithm: HS256, file: short.hex}", 7, "an HS256 secret is written in at least 64 hex digits"),
        ("{id: a, algorithm: HS256, file: words.hex}", 7, "an HS256 secret is written in at least 64 hex digits"),
        ("{id: a, file: short.hex}", 7, "no Ed25519 key in PEM"),
        ("{id: a, file: ec.pem}", 7, "no Ed25519 key in PEM"),
        ("{id: a, file: ed448.pem}", 7, "it is a key of Ed448"),
        ("{id: a}", 7, "exactly one of env, file, state_file; it has none"),
        ("{id: a, env: A, file: b}", 7, "exactly one of env, file, state_file; it has env and file"),
        ("{id: a, secret: abc}", 7, 'unknown field "secret"'),
        ("{id: a, algorithm: none, env: A}", 7, "algorithm"),
        ("{id: 'a b', env: A}", 7, "id"),
    ],
)
def test_a_wrong_key_stops_the_start_with_its_line(load: Load, tmp_path: Path, key: str, line: int, complaint: str) -> None:
    (tmp_path / "empty.pem").write_text("\n")
    (tmp_path / "short.hex").write_text("ab" * 31)
    (tmp_path / "words.hex").write_text("correct horse battery staple" * 4)
    (tmp_path / "ec.pem").write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    (tmp_path / "ed448.pem").write_bytes(OKPKey.generate_key("Ed448").as_pem(private=True))
    with pytest.raises(ConfigurationError) as caught:
        load(key)
    assert str(caught.value).startswith(f"{tmp_path}/senders.yaml:{line}: ")
    assert complaint in str(caught.value)


def test_a_key_id_means_one_key(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r'senders.yaml:8: the key id "a" is taken at line 7'):
        load("{id: a, env: A, revoked: true}", "{id: a, env: B}")


def test_a_revoked_key_needs_no_secret_any_more(load: Load) -> None:
    assert load("{id: a, env: UNSET_HERE, revoked: true}").keys["a"].material is None


def test_who_speaks_for_itself_is_somebody(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="needs `person`"):
        load("{id: a, env: A}", sender=SENDER.replace("any", "itself"))


def test_whom_a_sender_may_speak_for(load: Load) -> None:
    key = "{id: a, env: A, revoked: true}"
    rule = load(key, sender=SENDER.replace("any", "[bob, carol]")).rules["erp"]
    assert [rule.may_speak_for(name) for name in ("bob", "BOB ", "dave", "")] == [True, True, False, False]
    rule = load(key, sender=SENDER.replace("any", "itself\n    person: dave")).rules["erp"]
    assert [rule.may_speak_for(name) for name in ("bob", "Dave")] == [False, True]


def test_local_keys_are_made_once_for_their_owner_alone(load: Load, tmp_path: Path) -> None:
    (tmp_path / "senders.yaml").write_text(SENDER + "      - {id: a, state_file: keys/a.pem}\n      - {id: b, env: B}\n")
    (made,) = make_local_keys(tmp_path / "senders.yaml", tmp_path / "state")
    assert made == tmp_path / "state" / "keys" / "a.pem"
    assert made.stat().st_mode & 0o777 == 0o600
    before = made.read_text()
    assert make_local_keys(tmp_path / "senders.yaml", tmp_path / "state") == []
    assert made.read_text() == before


def test_a_key_that_is_revoked_in_the_file_counts_for_nothing_from_then_on(tmp_path: Path) -> None:
    file = tmp_path / "senders.yaml"
    file.write_text(SENDER + "      - {id: a, state_file: a.pem}\n")
    make_local_keys(file, tmp_path)
    live = LiveSenders(file, tmp_path)
    assert live.current().keys["a"].material is not None
    file.write_text(SENDER + "      - {id: a, state_file: a.pem, revoked: true}\n")
    assert live.current().keys["a"].material is None
    file.unlink()
    with pytest.raises(ConfigurationError, match="signature: none"):
        live.current()


def test_a_file_that_has_become_wrong_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "senders.yaml"
    file.write_text(SENDER + "      - {id: a, env: A, revoked: true}\n")
    live = LiveSenders(file, tmp_path)
    live.current()
    file.write_text("senders: [")
    os.utime(file, (1, 1))
    with pytest.raises(ConfigurationError):
        live.current()
