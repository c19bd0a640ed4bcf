"""Where the runtime is looked for, in which order, and what is passed over. The binaries here are small shell scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sayso.errors import ConfigurationError
from sayso.stack import runtime
from sayso.stack.runtime import BINARIES, cached_runtime_folder, find_runtime, install_runtime, parse_version, release


def put_runtime(folder: Path, version: str, names: tuple[str, ...] = BINARIES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        banner = version if name == "daprd" else f'level=info msg="Starting Dapr Service -- version {version} -- commit abc"'
        (folder / name).write_text(f"#!/bin/sh\necho '{banner}'\n")
        (folder / name).chmod(0o755)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any runtime: own PATH, home and cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SAYSO_RUNTIME_DIR", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("1.18.2\n", "1.18.2"),
        ("v1.19.0-rc.3\n", "1.19.0-rc.3"),
        ('time="…" level=info msg="Starting Dapr Scheduler Service -- version 1.18.2 -- commit " scope=x\n', "1.18.2"),
        ("edge\n", None),
        ("", None),
    ],
)
def test_versions_are_read_from_what_the_binaries_print(output: str, version: str | None) -> None:
    assert parse_version(output) == version


def test_a_release_compares_by_number() -> None:
    assert release("1.18.2-rc.1") == (1, 18, 2)
    assert release("1.9.0") < (1, 18) <= release("1.18.0")


def test_the_path_comes_before_the_dapr_folder_and_that_before_the_cache(places: Path) -> None:
    assert find_runtime() is None
    put_runtime(cached_runtime_folder(), "1.18.2")
    assert find_runtime() is not None
    assert find_runtime().origin == "cache"
    assert find_runtime().built_here
    put_runtime(places / "home" / ".dapr" / "bin", "1.18.3")
    assert (find_runtime().origin, find_runtime().version) == ("~/.dapr/bin", "1.18.3")
    put_runtime(places / "bin", "1.19.0")
    assert (find_runtime().origin, find_runtime().daprd) == ("PATH", places / "bin" / "daprd")
    assert not find_runtime().built_here


def test_an_old_or_incomplete_or_mixed_or_silent_runtime_is_passed_over(places: Path) -> None:
    put_runtime(cached_runtime_folder(), "1.18.2")
    put_runtime(places / "home" / ".dapr" / "bin", "1.17.9")
    put_runtime(places / "bin", "1.18.2", ("daprd", "placement"))
    assert find_runtime().origin == "cache"
    put_runtime(places / "bin", "1.18.3", ("scheduler",))
    assert find_runtime().origin == "cache"
    put_runtime(places / "bin", "edge")
    assert find_runtime().origin == "cache"


def test_a_named_folder_replaces_the_search(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_runtime(places / "bin", "1.18.2")
    put_runtime(places / "mine", "1.18.4")
    monkeypatch.setenv("SAYSO_RUNTIME_DIR", str(places / "mine"))
    assert find_runtime().version == "1.18.4"


@pytest.mark.parametrize(
    ("version", "names", "text"), [("1.17.0", BINARIES, "older than 1.18"), ("1.18.2", ("daprd",), "placement, scheduler")]
)
def test_a_named_folder_that_cannot_be_used_is_an_error(
    places: Path, monkeypatch: pytest.MonkeyPatch, version: str, names: tuple[str, ...], text: str
) -> None:
    put_runtime(places / "mine", version, names)
    monkeypatch.setenv("SAYSO_RUNTIME_DIR", str(places / "mine"))
    with pytest.raises(ConfigurationError, match=f"SAYSO_RUNTIME_DIR.*{text}"):
        find_runtime()


def test_what_is_found_is_not_built(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_runtime(places / "bin", "1.18.2")
    monkeypatch.setattr(runtime, "build_runtime", lambda *_: pytest.fail("built"))
    said: list[str] = []
    assert install_runtime(said.append).origin == "PATH"
    assert said == []


def test_without_a_runtime_and_without_go_three_ways_are_named(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(places / "bin"))
    with pytest.raises(ConfigurationError, match="no Go to build it with") as raised:
        install_runtime(lambda _: None)
    for way in ("dapr init --slim", "docker compose up", "Go 1.26.5 or newer"):
        assert way in str(raised.value)
    assert not cached_runtime_folder().exists()
