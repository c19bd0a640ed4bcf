"""The example events, as tests use them."""

from __future__ import annotations

from pathlib import Path

from sayso.correlation.bindings import Bindings, load_bindings

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "examples" / "events"


def shipped_bindings() -> Bindings:
    return load_bindings(ROOT / "config" / "bindings.yaml")


def bindings_with_own_event(folder: Path) -> Bindings:
    """The shipped bindings with the example's snippet appended, as its first line says."""
    file = folder / "bindings.yaml"
    shipped = (ROOT / "config" / "bindings.yaml").read_text(encoding="utf-8")
    file.write_text(shipped + (EVENTS / "own-event" / "bindings.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return load_bindings(file)
