"""Settings: environment over settings.yaml over defaults; nothing misspelt is silently without effect."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from sayso.errors import ConfigurationError
from sayso.settings import OTHER_VARIABLES, Settings, load_settings, setting_places, variable_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder, and no setting in the environment but it."""
    for name in [name for name in os.environ if name.startswith("SAYSO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(tmp_path))
    return tmp_path


def complaint() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return str(caught.value)


def test_every_setting_has_a_default_and_says_what_it_means() -> None:
    load_settings()
    for place in setting_places():
        group = reduce(getattr, place[:-1], load_settings())
        description = type(group).model_fields[place[-1]].description
        assert description, place
        assert description.endswith((".", "…")), place


def test_nested_variables_and_iso_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYSO_APPROVAL__TIMEOUT", "PT90S")
    monkeypatch.setenv("SAYSO_PURCHASE__AUTO_APPROVE_BELOW", "0.1")
    monkeypatch.setenv("SAYSO_ACCEPT_RAW_RAISE", "false")
    settings = load_settings()
    assert settings.approval.timeout == timedelta(seconds=90)
    assert settings.approval.auto_approve_below == 1000
    assert settings.purchase.auto_approve_below == Decimal("0.1")
    assert settings.accept_raw_raise is False


@pytest.mark.parametrize(("text", "seconds"), [("P3D", 259_200), ("PT24H", 86_400), ("P1DT12H", 129_600), ("PT0.2S", 0.2)])
def test_durations(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setenv("SAYSO_TASK__MANAGER_TIMEOUT", text)
    assert load_settings().task.manager_timeout.total_seconds() == seconds


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "approval: {timeout: P2D, auto_approve_below: 7}\npubsub: messages\n"
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SAYSO_APPROVAL__TIMEOUT", "P1D")
    settings = load_settings()
    assert settings.approval.timeout == timedelta(days=1)
    assert settings.approval.auto_approve_below == 7
    assert settings.pubsub == "messages"
    assert settings.purchase.approval_timeout == timedelta(hours=24)


def test_a_group_can_be_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYSO_APPROVAL", '{"timeout": "P1D"}')
    assert load_settings().approval.timeout == timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SAYSO_APROVAL__TIMEOUT", 'no such setting; did you mean "SAYSO_APPROVAL__TIMEOUT"?'),
        ("SAYSO_APPROVAL__TIMEOT", 'no such setting; did you mean "SAYSO_APPROVAL__TIMEOUT"?'),
        ("SAYSO_PUBSUBS", 'no such setting; did you mean "SAYSO_PUBSUB"?'),
        ("SAYSO_PUBSUB__NAME", 'no such setting; did you mean "SAYSO_PUBSUB"?'),
        ("SAYSO_REDISHOST", 'no such setting; did you mean "SAYSO_REDIS_HOST"?'),
        ("SAYSO_ZZZZZZZZZZZZZZ", "no such setting; valid: SAYSO_ACCEPT_RAW_RAISE, "),
    ],
)
def test_a_misspelt_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    monkeypatch.setenv(name, "x")
    assert complaint().startswith(f"{name}: {words}")


@pytest.mark.parametrize("name", OTHER_VARIABLES)
def test_variables_of_the_stack_are_let_through(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(variable_of((name,)), "x")
    load_settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SAYSO_APPROVAL__TIMEOUT", "soon", "`approval.timeout`: input should be a valid timedelta"),
        ("SAYSO_APPROVAL__TIMEOUT", "P9000Y", "`approval.timeout`: input should be less than or equal to 36500 days"),
        ("SAYSO_APPROVAL__TIMEOUT", "-P1D", "`approval.timeout`: input should be greater than 0 seconds"),
        ("SAYSO_APPROVAL__TIMEOUT", "PT0S", "`approval.timeout`: input should be greater than 0 seconds"),
        ("SAYSO_APPROVAL__AUTO_APPROVE_BELOW", "NaN", "`approval.auto_approve_below`: input should be a finite number"),
        ("SAYSO_APPROVAL__AUTO_APPROVE_BELOW", "-1", "`approval.auto_approve_below`: input should be greater than or equal to 0"),
        ("SAYSO_LOG_FORMAT", "xml", "`log_format`: string should match pattern"),
        ("SAYSO_ACCEPT_RAW_RAISE", "maybe", "`accept_raw_raise`: input should be a valid boolean"),
        ("SAYSO_DISPATCHER__ENGINE_CALLS", "0", "`dispatcher.engine_calls`: input should be greater than or equal to 1"),
        ("SAYSO_APPROVAL", "5", "`approval`: input should be a valid dictionary"),
        ("SAYSO_APPROVAL", "junk", "a group of settings is set by SAYSO_GROUP__NAME=VALUE"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    assert words in complaint()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pubsub: a\naproval: {timeout: P1D}\n", 'settings.yaml:2: no setting "aproval"'),
        ("approval:\n  timeot: P1D\n", 'settings.yaml:2: no setting "approval.timeot"; did you mean "approval.timeout"?'),
        ("pubsub: a\npubsub: b\n", 'settings.yaml:2: "pubsub" stands at line 1 already'),
        ("pubsub: 5\n", "`pubsub`: input should be a valid string"),
        ("- pubsub\n", "settings.yaml:1: settings are names and values"),
        ("pubsub: [\n", "settings.yaml:2: not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(folder: Path, text: str, words: str) -> None:
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    assert words in complaint()


def test_an_empty_file_changes_nothing(folder: Path) -> None:
    (folder / "settings.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert load_settings().approval.timeout == timedelta(days=3)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().pubsub = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().approval.timeout = timedelta(0)  # type: ignore[misc]


def test_the_engine_keeps_what_has_ended_longer_than_the_reconciler_may_wait() -> None:
    """Or it would find nothing of a case that ended in between, and start it again."""
    document = yaml.safe_load((Path(__file__).parents[2] / "components/common/configuration.yaml").read_text())
    kept = str(document["spec"]["workflow"]["stateRetentionPolicy"]["anyTerminal"])
    assert kept.endswith("h")
    longest = Settings().reconciler.check_interval_max
    assert timedelta(hours=int(kept[:-1])) > 24 * longest


def test_what_is_raised_past_the_topics_counts_only_where_the_configuration_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SAYSO_ACCEPT_RAW_RAISE", raising=False)
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(tmp_path))
    assert load_settings().accept_raw_raise is False
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(Path(__file__).parents[2] / "config"))
    assert load_settings().accept_raw_raise is True, "the local stack's"
