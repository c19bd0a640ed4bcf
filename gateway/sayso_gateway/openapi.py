"""`python -m sayso_gateway.openapi FILE` writes the OpenAPI document (`make docs`)."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from sayso.correlation.bindings import load_bindings
from sayso.settings import Settings
from sayso.testing.memory import MemoryPublisher
from sayso_gateway.app import create_app
from sayso_gateway.courier import Courier


def document_of(config_dir: Path) -> dict[str, Any]:
    """The document of a gateway with this configuration."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder), config_dir=config_dir)
        courier = Courier(MemoryPublisher(), timedelta(seconds=1), 1)
        return create_app(settings, {}, load_bindings(config_dir / "bindings.yaml"), courier).openapi()


def text_of(document: dict[str, Any]) -> str:
    """As it is checked in."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text_of(document_of(Path("config"))), encoding="utf-8")
