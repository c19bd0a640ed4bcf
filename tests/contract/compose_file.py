"""Reads docker-compose.yml as `docker compose` does, as far as this file needs it: merge keys, `${NAME:-default}`, `$$`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+):-(?P<default>[^}]*)\})")


def read_compose(**variables: str) -> dict[str, Any]:
    """The document with these variables set in the environment of `docker compose`."""

    def value_of(match: re.Match[str]) -> str:
        return "$" if match["name"] is None else variables.get(match["name"], match["default"])

    def interpolate(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: interpolate(value) for key, value in node.items()}
        if isinstance(node, list):
            return [interpolate(value) for value in node]
        return VARIABLE.sub(value_of, node) if isinstance(node, str) else node

    document: dict[str, Any] = interpolate(yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8")))
    return document


def flags_of(service: dict[str, Any]) -> dict[str, list[str]]:
    """`--name=value` words of the command, by name."""
    flags: dict[str, list[str]] = {}
    for word in service["command"]:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            flags.setdefault(name, []).append(value)
    return flags
