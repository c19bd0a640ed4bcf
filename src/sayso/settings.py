"""Settings: what an operator may change without touching code.

In: environment variables `SAYSO_…` (nested with `__`, durations in ISO 8601), over `settings.yaml` in the configuration folder.
Out: one frozen `Settings`. It is read once at start and handed down; no function reads the environment by itself.
"""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from sayso.config_file import did_you_mean
from sayso.contracts.payload import explain
from sayso.errors import ConfigurationError


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ApprovalSettings(Section):
    """`approval_workflow`."""

    auto_approve_below: Decimal = Field(Decimal(1000), ge=0, description="Amounts below this are approved by themselves.")
    timeout: timedelta = Field(timedelta(days=3), gt=timedelta(0), description="How long a request waits for its decision.")


class PurchaseSettings(Section):
    """`purchase_order_workflow`."""

    auto_approve_below: Decimal = Field(Decimal(1000), ge=0, description="Orders that cost less are approved by themselves.")
    approval_timeout: timedelta = Field(timedelta(hours=24), gt=timedelta(0), description="How long an order waits for approval.")
    payment_timeout: timedelta = Field(
        timedelta(days=7), gt=timedelta(0), description="How long a placed order waits for its payment."
    )


class TaskSettings(Section):
    """`task_approval_workflow`."""

    manager_timeout: timedelta = Field(timedelta(hours=48), gt=timedelta(0), description="How long a task waits for the manager.")


class DispatcherSettings(Section):
    """The dispatcher of the `subscribers` process."""

    poll_interval: timedelta = Field(timedelta(milliseconds=200), gt=timedelta(0), description="Fall-back when nothing wakes it.")
    lease: timedelta = Field(
        timedelta(seconds=20), gt=timedelta(0), description="How long a leased row is left to who leased it."
    )
    engine_timeout: timedelta = Field(timedelta(seconds=10), gt=timedelta(0), description="Deadline of one call to the engine.")
    engine_calls: int = Field(8, ge=1, le=64, description="How many engine calls run at the same time.")
    retry_interval_max: timedelta = Field(
        timedelta(seconds=15), gt=timedelta(0), description="Longest pause between two attempts."
    )


class Settings(BaseSettings):
    """All settings of Sayso. Every field has a default that suits the local stack."""

    model_config = SettingsConfigDict(
        env_prefix="SAYSO_", env_nested_delimiter="__", frozen=True, extra="ignore", nested_model_default_partial_update=True
    )

    ledger_url: str = Field(
        "sqlite:///.sayso/ledger.db", description="SQLAlchemy URL of the ledger: sqlite:///… or postgresql+psycopg://…"
    )
    pubsub: str = Field("pubsub", description="Name of the Dapr pub/sub component.")
    config_dir: Path = Field(Path("config"), description="Folder of bindings.yaml, directory.yaml, services.yaml, settings.yaml.")
    state_dir: Path = Field(Path(".sayso"), description="Folder of the local stack's data, logs and notices.")
    partners_url: str = Field("http://127.0.0.1:8090", description="Base URL of the service that performs effects.")
    partners_timeout: timedelta = Field(
        timedelta(seconds=10), gt=timedelta(0), description="Deadline of one call to that service."
    )
    log_format: str = Field("console", pattern="^(console|json)$", description="How log lines look: console or json.")
    early_hold: timedelta = Field(timedelta(days=7), gt=timedelta(0), description="How long an early event waits for its case.")
    accept_raw_raise: bool = Field(True, description="Accept events raised through Dapr's own workflow API.")
    approval: ApprovalSettings = ApprovalSettings()
    purchase: PurchaseSettings = PurchaseSettings()
    task: TaskSettings = TaskSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then `settings.yaml`."""
        del dotenv_settings, file_secret_settings
        folder = Path(os.environ.get("SAYSO_CONFIG_DIR", "config"))
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=folder / "settings.yaml")


def load_settings() -> Settings:
    """Read the settings; `ConfigurationError` names the variable or field that is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(f"settings (SAYSO_… or config/settings.yaml): {explain(error)}") from error
    _refuse_unknown_variables()
    return settings


def _refuse_unknown_variables() -> None:
    """A misspelt variable must not be silently without effect."""
    known = set(Settings.model_fields) | OTHER_VARIABLES
    for name in os.environ:
        if name.startswith("SAYSO_"):
            word = name.removeprefix("SAYSO_").lower().partition("__")[0]
            if word not in known:
                raise ConfigurationError(f"{name}: no such setting{did_you_mean(word, known)}")


OTHER_VARIABLES = {"app_address", "runtime_dir", "redis_host", "kafka_brokers", "state_postgres", "broker", "project_dir"}
"""Variables with our prefix that the components, the local stack and the containers read, not `Settings`."""
