"""A PostgreSQL that a cut network hides: it takes the connection and never answers."""

from __future__ import annotations

import socket

import pytest

from sayso.errors import TransientError
from sayso.ledger import Ledger


def test_a_server_that_never_answers_is_given_up_and_may_be_asked_again() -> None:
    """Without a limit the caller would wait for ever: the receipt of a message, and the lane behind it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ledger = Ledger(f"postgresql+psycopg://sayso:secret@127.0.0.1:{silent.getsockname()[1]}/sayso")
        with pytest.raises(TransientError, match="not available"):
            ledger.read(lambda tx: tx.now_ms)
        ledger.close()
