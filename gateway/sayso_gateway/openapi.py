"""`python -m sayso_gateway.openapi FILE` writes the OpenAPI document (`make docs`)."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sayso.correlation.bindings import load_bindings
from sayso.errors import TransientError
from sayso.publisher import Message
from sayso.settings import Settings
from sayso_gateway.app import create_app
from sayso_gateway.courier import Courier


class Nowhere:
    """A `Publisher` for who publishes nothing."""

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        raise TransientError(f"{len(messages)} events for {topic}, and no broker")


def document_of(config_dir: Path) -> dict[str, Any]:
    """The document of a gateway with this configuration."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder), config_dir=config_dir)
        courier = Courier(Nowhere(), timedelta(seconds=1), 1)
        return create_app(settings, {}, load_bindings(config_dir / "bindings.yaml"), courier).openapi()


def text_of(document: dict[str, Any]) -> str:
    """As it is checked in."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text_of(document_of(Path("config"))), encoding="utf-8")
