"""The Dockerfile: pinned, complete, not root. It is read here; building it needs a Docker engine."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from io import BytesIO

import pytest
from compose_file import PROJECT, read_compose
from dockerfile_parse import DockerfileParser

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    parser = DockerfileParser(fileobj=BytesIO((PROJECT / "Dockerfile").read_bytes()))
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def values(instructions: list[Instruction], name: str) -> list[str]:
    return [value for instruction, value in instructions if instruction == name]


def sources(instructions: list[Instruction]) -> list[str]:
    """What COPY takes from the build context."""
    return [word for value in values(instructions, "COPY") if not value.startswith("--from=") for word in value.split()[:-1]]


def test_both_stages_stand_on_one_python_pinned_to_its_patch_release(instructions: list[Instruction]) -> None:
    bases = {value.partition(" AS ")[0] for value in values(instructions, "FROM")}
    assert len(values(instructions, "FROM")) == 2
    assert len(bases) == 1
    minimum = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert re.fullmatch(rf"python:{re.escape(minimum)}\.\d+-slim-\w+", bases.pop())


def test_every_source_is_there_and_reaches_the_build_context(instructions: list[Instruction]) -> None:
    patterns = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert patterns[0] == "*", "the build context is a list of what comes in"
    for source in sources(instructions):
        assert (PROJECT / source).exists(), source
        assert f"!{source}" in patterns, source
        assert not any(fnmatch(source, pattern) for pattern in patterns[1:] if not pattern.startswith("!")), source


def test_nothing_else_is_in_the_build_context(instructions: list[Instruction]) -> None:
    allowed = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(allowed) == sorted(sources(instructions))


def test_it_does_not_run_as_root(instructions: list[Instruction]) -> None:
    last_stage = instructions[max(index for index, (name, _) in enumerate(instructions) if name == "FROM") :]
    users = values(last_stage, "USER")
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[0]), "a number, so that Kubernetes can see that it is not root"
    assert last_stage.index(("USER", users[0])) > max(index for index, (name, _) in enumerate(last_stage) if name in ("RUN", "COPY"))


def test_what_is_installed_is_what_is_locked(instructions: list[Instruction]) -> None:
    runs = values(instructions, "RUN")
    assert all("--frozen" in run for run in runs if run.startswith("uv sync"))
    assert all(re.search(r"uv==\d+\.\d+\.\d+", run) for run in runs if "pip install" in run)
    assert values(instructions, "ADD") == []


def test_compose_finds_in_the_image_what_it_starts(instructions: list[Instruction]) -> None:
    services = read_compose()["services"]
    ours = {name: service["command"] for name, service in services.items() if service["image"] == "sayso:local"}
    assert set(ours) == {"pod", "pod-gateway", "subscribers", "worker", "gateway", "partners"}
    assert services["pod"]["build"] == "."
    script = ours["partners"][1]
    assert script.split("/")[0] in sources(instructions)
    assert (PROJECT / script).is_file()
    environment = " ".join(values(instructions, "ENV"))
    for role in ("subscribers", "worker", "gateway"):
        for name in ("SAYSO_CONFIG_DIR", "SAYSO_STATE_DIR"):
            assert f"{name}={services[role]['environment'][name]}" in environment
