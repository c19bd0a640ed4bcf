"""The recipe of the runtime: which Go will do, what is kept of the source, and what stops the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from sayso.errors import ConfigurationError
from sayso.stack import runtime_build
from sayso.stack.runtime_build import (
    COMPONENT_FILES,
    PATCHES,
    apply_patches,
    build_key,
    describe_build,
    download_module,
    go_suffices,
    prune_components,
    require_go,
)


def put_go(folder: Path, version: str, toolchain: str, module: str = "{}") -> str:
    """A Go that answers `env` and `mod download`."""
    folder.mkdir(exist_ok=True)
    go = folder / "go"
    go.write_text(f"#!/bin/sh\nif [ $1 = env ]; then echo {version}; echo {toolchain}; else echo '{module}'; fi\n")
    go.chmod(0o755)
    return str(go)


def module_tree(folder: Path, components: set[str]) -> Path:
    kept = folder / "cmd" / "daprd" / "components"
    kept.mkdir(parents=True)
    for name in components:
        (kept / name).write_text("package components\n")
    for name, old, _ in PATCHES:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(f"ln, err := net.Listen({old})\n")
    return folder


@pytest.mark.parametrize(
    ("version", "toolchain", "suffices"),
    [
        ("go1.26.5", "local", True),
        ("go1.27", "local", True),
        ("go1.26.4", "local", False),
        ("go1.26.4", "auto", True),
        ("go1.21.0", "go1.21.0+auto", True),
        ("go1.20.14", "auto", False),
        ("go1.26.4", "path", False),
        ("devel go1.28-abc", "local", True),
    ],
)
def test_a_go_will_do_if_it_is_new_enough_or_may_fetch_a_newer_one(version: str, toolchain: str, *, suffices: bool) -> None:
    assert go_suffices(version, toolchain) is suffices


def test_a_go_that_is_too_old_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = put_go(tmp_path, "go1.22.1", "local")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(ConfigurationError, match=f"{go} is go1.22.1 with GOTOOLCHAIN=local") as raised:
        require_go()
    for way in ("dapr init --slim", "docker compose up", "Go 1.26.5 or newer", "GOTOOLCHAIN=auto"):
        assert way in str(raised.value)


def test_a_module_that_cannot_be_fetched_says_why(tmp_path: Path) -> None:
    go = put_go(tmp_path / "go", "go1.26.5", "local", '{"Error": "dial tcp: no route to host"}')
    with pytest.raises(ConfigurationError, match="no route to host"):
        download_module(go, tmp_path)


def test_a_module_with_another_checksum_is_refused(tmp_path: Path) -> None:
    go = put_go(tmp_path / "go", "go1.26.5", "local", '{"Dir": "/x", "Sum": "h1:other"}')
    with pytest.raises(ConfigurationError, match=r"h1:other.*not the released source"):
        download_module(go, tmp_path)


def test_only_our_components_are_kept(tmp_path: Path) -> None:
    source = module_tree(tmp_path, {*COMPONENT_FILES, "bindings_kafka.go", "state_mongodb.go"})
    prune_components(source)
    assert {path.name for path in (source / "cmd/daprd/components").iterdir()} == COMPONENT_FILES


def test_a_component_that_is_missing_stops_the_build(tmp_path: Path) -> None:
    source = module_tree(tmp_path, set(COMPONENT_FILES) - {"pubsub_kafka.go"})
    with pytest.raises(ConfigurationError, match=r"lacks pubsub_kafka\.go"):
        prune_components(source)


def test_the_health_server_is_bound_to_loopback(tmp_path: Path) -> None:
    source = module_tree(tmp_path, set(COMPONENT_FILES))
    apply_patches(source)
    assert 'fmt.Sprintf("127.0.0.1:%d", s.port)' in (source / "pkg/healthz/server/server.go").read_text()


def test_a_patch_that_no_longer_fits_stops_the_build(tmp_path: Path) -> None:
    source = module_tree(tmp_path, set(COMPONENT_FILES))
    (source / "pkg/healthz/server/server.go").write_text("package server\n")
    with pytest.raises(ConfigurationError, match=r"server\.go has 0 times"):
        apply_patches(source)


def test_the_key_changes_with_what_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_key()
    assert before.startswith("1.18.2-")
    monkeypatch.setattr(runtime_build, "PATCHES", ())
    assert build_key() != before


def test_progress_counts_modules_and_packages() -> None:
    lines = ["go: downloading example.com/a v1.0.0", "internal/cpu", "", "github.com/dapr/kit/logger"]
    assert describe_build(lines).endswith("1 modules fetched, 2 packages compiled")
