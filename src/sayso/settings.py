"""Settings: what an operator may change without touching code.

In: environment variables `SAYSO_…` (nested with `__`, durations in ISO 8601), over `settings.yaml` in the configuration folder.
Out: one frozen `Settings`. It is read once at start and handed down; no function reads the environment by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError, YamlConfigSettingsSource

from sayso.config_file import ConfigFile, did_you_mean
from sayso.contracts.payload import explain
from sayso.errors import ConfigurationError
from sayso.gateway_settings import GatewaySettings
from sayso.settings_of_monitors import HealthMonitorSettings, JobMonitorSettings, MonitorSettings, StatusMonitorSettings
from sayso.settings_section import LONGEST, Section


class RetrySettings(Section):
    """How often and how long something is tried that may fail for good."""

    first_interval: timedelta = Field(timedelta(seconds=1), gt=timedelta(0), description="Pause before the second attempt.")
    coefficient: float = Field(2.0, ge=1, le=100, description="By which each further pause is longer.")
    interval_max: timedelta = Field(timedelta(minutes=1), gt=timedelta(0), description="Longest pause.")
    attempts: int = Field(5, ge=1, le=100, description="How many attempts in all.")


class ApprovalSettings(Section):
    """`approval_workflow`."""

    auto_approve_below: Decimal = Field(Decimal(1000), ge=0, description="Amounts below this are approved by themselves.")
    timeout: timedelta = Field(
        timedelta(days=3), gt=timedelta(0), le=LONGEST, description="How long a request waits for its decision."
    )


class PurchaseSettings(Section):
    """`purchase_order_workflow`."""

    auto_approve_below: Decimal = Field(Decimal(1000), ge=0, description="Orders that cost less are approved by themselves.")
    approval_timeout: timedelta = Field(
        timedelta(hours=24), gt=timedelta(0), le=LONGEST, description="How long an order waits for approval."
    )
    payment_timeout: timedelta = Field(
        timedelta(days=7), gt=timedelta(0), le=LONGEST, description="How long a placed order waits for its payment."
    )


class TaskSettings(Section):
    """`task_approval_workflow`."""

    manager_timeout: timedelta = Field(
        timedelta(hours=48), gt=timedelta(0), le=LONGEST, description="How long a task waits for the manager."
    )
    total_timeout: timedelta = Field(
        timedelta(hours=72), gt=timedelta(0), le=LONGEST, description="How long a task waits in all, the director's time included."
    )


class SagaSettings(Section):
    """Every saga: how often a step, and how often its undo, is tried before it is given up."""

    retries: RetrySettings = RetrySettings(attempts=4, interval_max=timedelta(seconds=10))
    undo_retries: RetrySettings = RetrySettings(attempts=8)


class OrderSettings(Section):
    """`order_saga`."""

    auto_approve_below: Decimal = Field(Decimal(1000), ge=0, description="Orders that cost less are not asked about.")
    approval_timeout: timedelta = Field(timedelta(hours=24), gt=timedelta(0), description="How long an order waits for approval.")
    payment_wait: timedelta = Field(
        timedelta(0), ge=timedelta(0), description="How long a payment from outside is waited for before the order is charged."
    )


class EscalationSettings(Section):
    """`request_escalation`."""

    auto_approve_below: Decimal = Field(Decimal(1000), ge=0, description="Amounts below this are approved by themselves.")
    timeout: timedelta = Field(timedelta(days=7), gt=timedelta(0), description="How long a request waits for a human's decision.")


class BatchSettings(Section):
    """`batch_processing_workflow`."""

    items_at_once: int = Field(5, ge=1, le=100, description="How many items are worked on at the same time, unless the batch says so.")
    round_items: int = Field(
        50,
        ge=1,
        le=500,
        description="How many items one run of the workflow works through: at least so many, and five times the limit.",
    )
    retries: RetrySettings = RetrySettings()


class ChainSettings(Section):
    """`task_chain_workflow`."""

    retries: RetrySettings = RetrySettings(first_interval=timedelta(minutes=1), interval_max=timedelta(hours=1), attempts=10)


class PolicySettings(Section):
    """Which policies of the folder `policies/` count. A number of a policy that names a setting (docs/policies.md) is that setting's
    value where it differs from the setting's default; so the settings above still say the shipped policies' limits and times.
    """

    use: dict[str, str] = Field(
        {}, description='Workflow: the policy, marked `variant`, that counts for it: `{"task_approval_workflow": "task_48h"}`.'
    )
    time_scale: float = Field(
        1.0,
        gt=0,
        le=1_000,
        description="By which every wait of a policy is multiplied, for tests. Unless it is 1, a working day is just 24 hours.",
    )


class DirectorySettings(Section):
    """A directory of users and groups that speaks SCIM 2.0. Without `url` people are in `directory.yaml`."""

    url: str | None = Field(None, pattern=r"^https?://\S+$", description="Base URL, to which /Users and /Groups are added.")
    token: SecretStr | None = Field(None, description="Bearer token for it.")
    timeout: timedelta = Field(timedelta(seconds=5), gt=timedelta(0), description="Deadline of one call to it.")
    max_age: timedelta = Field(
        timedelta(minutes=1),
        gt=timedelta(0),
        le=timedelta(days=1),
        description="How old may be what is known of it; then it is read again.",
    )


class DispatcherSettings(Section):
    """The dispatcher of the `subscribers` process."""

    poll_interval: timedelta = Field(timedelta(milliseconds=200), gt=timedelta(0), description="Fall-back when nothing wakes it.")
    lease: timedelta = Field(timedelta(seconds=20), gt=timedelta(0), description="How long a leased row is left to who leased it.")
    engine_timeout: timedelta = Field(timedelta(seconds=10), gt=timedelta(0), description="Deadline of one call to the engine.")
    engine_calls: int = Field(16, ge=1, le=64, description="How many engine calls run at the same time.")
    retry_interval_max: timedelta = Field(timedelta(seconds=15), gt=timedelta(0), description="Longest pause between two attempts.")


class ReconcilerSettings(Section):
    """The comparison of open cases with the workflow engine."""

    check_interval: timedelta = Field(
        timedelta(minutes=5), gt=timedelta(0), description="When a case is compared first; later at half its age, so ever less often."
    )
    check_interval_max: timedelta = Field(
        timedelta(hours=1), gt=timedelta(0), description="Longest pause between two comparisons of a case."
    )
    absence: timedelta = Field(
        timedelta(minutes=1), gt=timedelta(0), description="How long the engine must not know an instance before it is started again."
    )
    unseen_after: timedelta = Field(
        timedelta(minutes=10), gt=timedelta(0), description="When an event that was raised must be in the instance's history."
    )
    stuck_after: timedelta = Field(
        timedelta(minutes=10), gt=timedelta(0), description="When an activity that was asked for must have been answered."
    )


class AuditSettings(Section):
    """The audit chain. Every process that seals or verifies one ledger needs the same key."""

    key: SecretStr | None = Field(None, description="Key of the chain, at least 64 hex digits; without it the key file counts.")
    key_file: Path | None = Field(None, description="File with that key; by default `audit.key` in the state folder, made once.")
    anchor_interval: timedelta = Field(timedelta(minutes=1), gt=timedelta(0), description="How often the chain's end is published.")


class SigningSettings(Section):
    """Signatures of decisions ([signing.md](signing.md)); who may sign is in `senders.yaml`."""

    audience: str = Field(
        "sayso-local",
        min_length=1,
        max_length=100,
        pattern=r"^[\x20-\x7e]+$",
        description="The name of this installation in signatures (`aud`): what was signed for another one does not count here.",
    )
    clock_skew: timedelta = Field(
        timedelta(minutes=15), ge=timedelta(0), le=timedelta(hours=1), description="How far a sender's clock and ours may differ."
    )
    lifetime_max: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        le=timedelta(days=366),
        description="How long a signature may be good.",
    )


class AlarmSettings(Section):
    """Limits whose passing is told on `alerts`, once for each time."""

    interval: timedelta = Field(timedelta(seconds=15), gt=timedelta(0), description="How often the limits are looked at.")
    dead_letters_an_hour: int = Field(100, ge=0, description="How many events may go dead within an hour.")
    undispatched: timedelta = Field(timedelta(minutes=1), gt=timedelta(0), description="How long an event may wait to be dispatched.")
    outbox: timedelta = Field(timedelta(minutes=5), gt=timedelta(0), description="How long an event may wait to be published.")
    case_overdue: timedelta = Field(
        timedelta(minutes=5), gt=timedelta(0), description="How long after its deadline an open case counts as overdue."
    )
    disk_free_mib: int = Field(512, ge=0, description="How much space must be free where a ledger in a file is, in MiB.")


class MetricsSettings(Section):
    """Where `/metrics` (Prometheus) is served."""

    address: str = Field("127.0.0.1", description="Address that the two ports listen on.")
    subscribers_port: int = Field(9464, ge=0, le=65_535, description="Port of the subscribers process; 0: none.")
    worker_port: int = Field(9465, ge=0, le=65_535, description="Port of the worker process; 0: none.")


class LimitSettings(Section):
    """What one sender, or one case, may take up; so that nobody fills the ledger or an instance's history (4 MiB) for all."""

    held_events: int = Field(10_000, ge=1, description="How many early events of one `source` wait at most; more expire at once.")
    held_bytes: int = Field(64 * 1024 * 1024, ge=1, description="How many bytes of them.")
    case_events: int = Field(100, ge=1, le=1_000, description="How many events of one name a case is given; more are refused.")
    case_bytes: int = Field(256 * 1024, ge=1, le=1024 * 1024, description="How many bytes of them.")
    inline_bytes: int = Field(
        64 * 1024,
        ge=4 * 1024,
        le=256 * 1024,
        description="Above this the large texts of a request or event stay in the ledger, and the workflow gets a reference.",
    )


class Settings(BaseSettings):
    """All settings of Sayso. Every field has a default that suits the local stack."""

    model_config = SettingsConfigDict(
        env_prefix="SAYSO_", env_nested_delimiter="__", frozen=True, extra="forbid", nested_model_default_partial_update=True
    )

    ledger_url: str = Field(
        "sqlite:///.sayso/ledger.db", description="SQLAlchemy URL of the ledger: sqlite:///… or postgresql+psycopg://…"
    )
    pubsub: str = Field("pubsub", description="Name of the Dapr pub/sub component.")
    config_dir: Path = Field(
        Path("config"),
        description="Folder of bindings.yaml, calendars.yaml, directory.yaml, services.yaml, settings.yaml and policies/.",
    )
    state_dir: Path = Field(Path(".sayso"), description="Folder of the local stack's data, logs and notices.")
    partners_url: str = Field("http://127.0.0.1:8090", description="Base URL of the service that performs effects.")
    partners_timeout: timedelta = Field(timedelta(seconds=10), gt=timedelta(0), description="Deadline of one call to that service.")
    log_format: str = Field("console", pattern="^(console|json)$", description="How log lines look: console or json.")
    early_hold: timedelta = Field(
        timedelta(days=7), gt=timedelta(0), le=LONGEST, description="How long an early event waits for its case."
    )
    accept_raw_raise: bool = Field(
        False,
        description="Accept events raised, and cases started, through Dapr's own workflow API, where nobody signs: for one machine.",
    )
    approvers_only: bool = Field(
        False, description="Take decisions only of members of the group that is asked (directory.yaml), looked up at delivery."
    )
    last_steps_in_turn: bool = Field(
        True, description="Take the step that ends a case within the workflow's last turn (ADR 0014); otherwise it is an activity."
    )
    approval: ApprovalSettings = ApprovalSettings()
    purchase: PurchaseSettings = PurchaseSettings()
    task: TaskSettings = TaskSettings()
    saga: SagaSettings = SagaSettings()
    order: OrderSettings = OrderSettings()
    escalation: EscalationSettings = EscalationSettings()
    batch: BatchSettings = BatchSettings()
    chain: ChainSettings = ChainSettings()
    monitor: MonitorSettings = MonitorSettings()
    health_monitor: HealthMonitorSettings = HealthMonitorSettings()
    status_monitor: StatusMonitorSettings = StatusMonitorSettings()
    job_monitor: JobMonitorSettings = JobMonitorSettings()
    policies: PolicySettings = PolicySettings()
    directory: DirectorySettings = DirectorySettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    limits: LimitSettings = LimitSettings()
    gateway: GatewaySettings = GatewaySettings()
    reconciler: ReconcilerSettings = ReconcilerSettings()
    audit: AuditSettings = AuditSettings()
    signing: SigningSettings = SigningSettings()
    alarms: AlarmSettings = AlarmSettings()
    metrics: MetricsSettings = MetricsSettings()

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
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=_settings_file())


def load_settings() -> Settings:
    """Read the settings; `ConfigurationError` names the variable, or file, line and field, that is wrong."""
    _refuse_unknown_variables()
    path = _settings_file()
    file = ConfigFile(path) if path.exists() else None
    if file is not None and not isinstance(file.document, dict | None):
        raise file.error((), "settings are names and values, for example `approval: {timeout: P2D}`")
    try:
        return Settings()
    except ValidationError as error:
        unknown = next((complaint["loc"] for complaint in error.errors() if complaint["type"] == "extra_forbidden"), None)
        if unknown is not None and file is not None:
            name = ".".join(str(part) for part in unknown)
            raise file.error(unknown, f'no setting "{name}"{did_you_mean(name, map(".".join, setting_places()))}') from error
        raise ConfigurationError(f"settings (SAYSO_… or {path}): {explain(error)}") from error
    except SettingsError as error:
        raise ConfigurationError(f"settings: {error}; a group of settings is set by SAYSO_GROUP__NAME=VALUE") from error


def setting_places(model: type[BaseModel] = Settings) -> Iterator[tuple[str, ...]]:
    """Every setting by its place in `settings.yaml`: `("pubsub",)`, `("approval", "timeout")`."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from ((name, *inner) for inner in setting_places(field.annotation))
        else:
            yield (name,)


def variable_of(place: tuple[str, ...]) -> str:
    """The environment variable of a setting: `SAYSO_APPROVAL__TIMEOUT`."""
    return f"SAYSO_{'__'.join(place)}".upper()


def _refuse_unknown_variables() -> None:
    """A misspelt variable must not be silently without effect."""
    known = {variable_of(place) for place in setting_places()} | {variable_of((name,)) for name in OTHER_VARIABLES}
    groups = {variable_of(place[:1]) for place in setting_places()}
    for name in os.environ:
        if name.startswith("SAYSO_") and name not in known | groups:
            raise ConfigurationError(f"{name}: no such setting{did_you_mean(name, known)}")


def _settings_file() -> Path:
    return Path(os.environ.get("SAYSO_CONFIG_DIR", "config")) / "settings.yaml"


OTHER_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "app_address": "Address that the `subscribers` process listens on for daprd; 127.0.0.1, in a container 0.0.0.0.",
        "runtime_dir": "Folder of daprd, placement and scheduler, instead of searching for them.",
        "redis_host": "`host:port` of Redis or Valkey, for components/redis, components/state-redis and the watch over the streams.",
        "kafka_brokers": "`host:port,…` of Kafka, for components/kafka.",
        "state_postgres": "Connection string (libpq) of the actor state store, for components/state-postgresql.",
        "broker": "docker-compose.yml: `redis` or `kafka`.",
    }
)
"""Variables with our prefix that the components, the local stack and the containers read, not `Settings`."""
