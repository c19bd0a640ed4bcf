import sys
from pathlib import Path

import pytest

from sayso.errors import ConfigurationError
from sayso.stack.layout import load_layout
from sayso.stack.state import Broker, LedgerKind

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("broker", ["valkey", "kafka"])
@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"])
def test_each_pair_of_broker_and_ledger_has_its_components(broker: Broker, ledger: LedgerKind) -> None:
    app, gateway = load_layout(REPOSITORY, broker, ledger)
    broker_folder = {"valkey": "redis", "kafka": "kafka"}[broker]
    state_folder = {"sqlite": "state-redis", "postgresql": "state-postgresql"}[ledger]
    assert [path.name for path in app.resources] == ["common", broker_folder, state_folder]
    assert [path.name for path in gateway.resources] == [broker_folder]


def test_serve_with_two_roles_is_two_processes() -> None:
    app, gateway = load_layout(REPOSITORY, "valkey", "sqlite")
    assert gateway.processes().keys() == {"gateway"}
    assert app.processes() == {
        "subscribers": (sys.executable, "-m", "sayso.cli.main", "serve", "subscribers"),
        "worker": (sys.executable, "-m", "sayso.cli.main", "serve", "worker"),
    }


def test_the_local_configuration_is_laid_over_the_common_one() -> None:
    app, gateway = load_layout(REPOSITORY, "valkey", "sqlite")
    components = REPOSITORY / "components"
    assert app.configurations() == (components / "common/configuration.yaml", components / "local/configuration.yaml")
    assert gateway.configurations() == (components / "gateway/configuration.yaml", components / "local/configuration.yaml")


def project(folder: Path, text: str) -> Path:
    (folder / "dapr.yaml").write_text(text)
    return folder


def test_another_command_is_one_process_under_this_python(tmp_path: Path) -> None:
    project(tmp_path, "version: 1\napps:\n- appID: by-hand\n  appDirPath: .\n  command: [python, app.py]\n")
    (app,) = load_layout(tmp_path, "valkey", "sqlite")
    assert app.processes() == {"by-hand": (sys.executable, "app.py")}
    assert app.configurations() == ()


def test_a_missing_file_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dapr\.yaml: not found; run sayso in the project's folder"):
        load_layout(tmp_path, "valkey", "sqlite")


def test_a_missing_field_is_named_with_its_line(tmp_path: Path) -> None:
    project(tmp_path, "version: 1\napps:\n- appID: a\n  command: [python]\n")
    with pytest.raises(ConfigurationError, match=r"dapr\.yaml:3: apps\.0\.appDirPath: "):
        load_layout(tmp_path, "valkey", "sqlite")


def test_a_component_folder_that_is_missing_is_named_with_its_line(tmp_path: Path) -> None:
    text = "version: 1\napps:\n- appID: a\n  appDirPath: .\n  command: [python]\n  resourcesPaths: [components/redis]\n"
    project(tmp_path, text)
    with pytest.raises(ConfigurationError, match=r"dapr\.yaml:6: .*components/kafka is not a folder"):
        load_layout(tmp_path, "kafka", "sqlite")
