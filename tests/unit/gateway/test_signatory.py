"""The gateway's signature: which sender signs, and what happens where it has no key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sayso.correlation.bindings import Bindings, load_bindings
from sayso.settings import Settings
from sayso.signing.senders import FILE_NAME
from sayso_gateway.api.signing import Signatory
from sayso_gateway.problems import ProblemError

CONFIG = Path(__file__).parents[3] / "config"
WITHOUT_THE_GATEWAY = """
senders:
  demo:
    types: [sayso.approval.decided.v1]
    topics: [approvals]
    speaks_for: any
    keys: [{id: demo-1, state_file: keys/demo-1.pem}]
"""


@pytest.fixture
def bindings() -> Bindings:
    return load_bindings(CONFIG / "bindings.yaml")


def test_its_key_is_made_at_the_first_start(tmp_path: Path, bindings: Bindings) -> None:
    shutil.copy(CONFIG / FILE_NAME, tmp_path)
    signatory = Signatory(Settings(config_dir=tmp_path, state_dir=tmp_path / "state"), bindings)
    assert (tmp_path / "state" / "keys" / "gateway-1.pem").stat().st_mode & 0o777 == 0o600
    assert signatory._pen().key.sender == "gateway"


def test_where_it_is_no_sender_it_starts_and_says_why_it_does_not_decide(tmp_path: Path, bindings: Bindings) -> None:
    (tmp_path / FILE_NAME).write_text(WITHOUT_THE_GATEWAY, "utf-8")
    signatory = Signatory(Settings(config_dir=tmp_path, state_dir=tmp_path / "state"), bindings)
    with pytest.raises(ProblemError, match=r'no sender "gateway" in senders.yaml') as problem:
        signatory._pen()
    assert problem.value.status == 503
