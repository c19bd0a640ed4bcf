"""`sayso keys`: keys are made for their owner alone, and what to write into `senders.yaml` is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from answers import Sayso


@pytest.fixture
def senders(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of its own, with the sender `demo`."""
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(place))
    file = place / "senders.yaml"
    file.write_text(
        "senders:\n  demo:\n    types: [a]\n    topics: [b]\n    speaks_for: any\n    keys:\n"
        "      - {id: demo-1, state_file: keys/demo-1.pem}\n"
    )
    return file


def test_a_new_sender_gets_a_pair_and_the_lines_to_write(sayso: Sayso, senders: Path) -> None:
    answer = sayso("keys", "new", "erp")
    assert answer.code == 0
    written = yaml.safe_load(answer.out)["erp"]
    (key,) = written["keys"]
    assert (key["id"], key["algorithm"]) == ("erp-1", "EdDSA")
    public = Path(key["file"])
    assert "BEGIN PUBLIC KEY" in public.read_text()
    secret = public.with_name("erp-1.pem")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert "BEGIN PRIVATE KEY" in secret.read_text()
    assert "PRIVATE" not in answer.out + answer.err
    assert sayso("keys", "new", "erp").code == 2, "it is there already"


def test_a_shared_secret_is_in_no_output(sayso: Sayso, senders: Path, tmp_path: Path) -> None:
    answer = sayso("keys", "new", "till", "--algorithm", "HS256", "--out", str(tmp_path / "out"), "--json")
    made = json.loads(answer.out)
    secret = Path(made["secret"]).read_text().strip()
    assert len(bytes.fromhex(secret)) == 32
    assert secret not in answer.out + answer.err
    assert made["public"] is None


def test_new_makes_the_file_that_a_key_names(sayso: Sayso, senders: Path) -> None:
    assert sayso("keys", "list").code == 1
    assert "make it: sayso keys new" in sayso("keys", "list").out
    assert sayso("keys", "new", "demo").code == 0
    listed = sayso("keys", "list", "--json")
    assert (listed.code, [row["state"] for row in json.loads(listed.out)]) == (0, ["usable"])
    again = sayso("keys", "new", "demo")
    assert (again.code, "sayso keys rotate demo" in again.err) == (2, True)


def test_rotation_makes_the_next_key_and_says_how_it_takes_over(sayso: Sayso, senders: Path) -> None:
    sayso("keys", "new", "demo")
    answer = sayso("keys", "rotate", "demo")
    assert answer.code == 0
    (key,) = yaml.safe_load(answer.out)
    assert key == {"id": "demo-2", "algorithm": "EdDSA", "state_file": "keys/demo-2.pem"}
    assert "revoked: true" in answer.err
    senders.write_text(senders.read_text().replace("}", ", revoked: true}") + answer.out)
    listed = sayso("keys", "list", "--json")
    assert (listed.code, [row["state"] for row in json.loads(listed.out)]) == (0, ["revoked", "usable"])


def test_a_sender_that_is_not_there_is_not_rotated(sayso: Sayso, senders: Path) -> None:
    answer = sayso("keys", "rotate", "erp")
    assert (answer.code, "sayso keys new erp" in answer.err) == (2, True)
    assert sayso("keys", "new", "../erp").code == 2
