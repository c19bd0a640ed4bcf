"""What `sayso doctor` concludes from a machine, and how it tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sayso.cli.runtime_commands import doctor, runtime_app
from sayso.stack import doctor as examination
from sayso.stack.doctor import Finding, default_stack_ready, examine
from sayso.stack.runtime import BINARIES

app = typer.Typer()
app.add_typer(runtime_app, name="runtime")
app.command()(doctor)


def put_runtime(folder: Path, version: str) -> None:
    for name in BINARIES:
        banner = version if name == "daprd" else f"Starting -- version {version} -- commit"
        (folder / name).write_text(f"#!/bin/sh\necho '{banner}'\n")
        (folder / name).chmod(0o755)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No runtime, no Go, no Java, no Maven; the Python is this one, with what is installed in it."""
    for variable, folder in (("PATH", "bin"), ("HOME", "home"), ("XDG_CACHE_HOME", "cache")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.delenv("SAYSO_RUNTIME_DIR", raising=False)
    return tmp_path


def part(name: str) -> Finding:
    return next(finding for finding in examine() if finding.part == name)


def test_a_bare_machine_is_told_what_to_do_for_each_part() -> None:
    assert not default_stack_ready(examine())
    assert "sayso runtime install" in str(part("daprd").advice)
    for name, tool in (("Go", "only to build Dapr"), ("Java", "only for --broker kafka"), ("Maven", "only to fetch Kafka")):
        assert not part(name).ok
        assert not part(name).needed
        assert tool in str(part(name).advice)


def test_with_a_runtime_the_default_stack_is_ready(bare_machine: Path) -> None:
    put_runtime(bare_machine / "bin", "1.18.2")
    assert default_stack_ready(examine())
    assert part("scheduler").version == "1.18.2"
    assert part("daprd").where == str(bare_machine / "bin" / "daprd")
    assert part("daprd").advice is None
    assert "every interface" in str(part("placement").advice)


def test_a_runtime_that_is_too_old_is_named(bare_machine: Path) -> None:
    put_runtime(bare_machine / "bin", "1.16.0")
    assert f"{bare_machine / 'bin' / 'daprd'} is 1.16.0, older than 1.18" in str(part("daprd").advice)


def test_a_wrong_runtime_folder_is_a_finding(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYSO_RUNTIME_DIR", str(bare_machine))
    assert "has no daprd, placement, scheduler" in str(part("Dapr runtime").advice)
    assert not default_stack_ready(examine())


def test_a_legacy_distribution_beside_dapr_is_an_error(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_runtime(bare_machine / "bin", "1.18.2")
    monkeypatch.syspath_prepend(bare_machine)
    metadata = bare_machine / "dapr_ext_workflow-1.17.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dapr-ext-workflow\nVersion: 1.17.0\n")
    assert not default_stack_ready(examine())
    assert "uninstall dapr-ext-workflow" in str(part("dapr-ext-workflow").advice)


def test_a_package_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination.importlib.util, "find_spec", lambda _: None)
    assert not part("Valkey").ok
    assert part("Valkey").needed
    assert "sayso[local]" in str(part("Valkey").advice)
    assert not part("partners service").ok


def test_the_table_tells_every_part_and_the_exit_code_the_verdict(bare_machine: Path) -> None:
    refused = CliRunner().invoke(app, ["doctor"])
    assert refused.exit_code == 1
    put_runtime(bare_machine / "bin", "1.18.2")
    ready = CliRunner().invoke(app, ["doctor"])
    assert ready.exit_code == 0
    for finding in examine():
        assert finding.part in ready.stdout
    assert "has what it needs" in ready.stderr


def test_json_goes_to_stdout_alone(bare_machine: Path) -> None:
    put_runtime(bare_machine / "bin", "1.18.2")
    report = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert report["ready"] is True
    assert {"part": "daprd", "version": "1.18.2", "ok": True}.items() <= report["findings"][2].items()
    found = json.loads(CliRunner().invoke(app, ["runtime", "install", "--json"]).stdout)
    assert found == {"version": "1.18.2", "origin": "PATH", **{name: str(bare_machine / "bin" / name) for name in BINARIES}}


def test_where_names_the_binaries_or_the_three_ways_to_get_them(bare_machine: Path) -> None:
    without = CliRunner().invoke(app, ["runtime", "where"])
    assert (without.exit_code, without.stdout) == (1, "")
    assert "dapr init --slim" in without.stderr
    put_runtime(bare_machine / "bin", "1.18.2")
    found = CliRunner().invoke(app, ["runtime", "where"])
    assert (found.exit_code, found.stdout.splitlines()[0]) == (0, f"daprd 1.18.2 {bare_machine / 'bin' / 'daprd'}")
