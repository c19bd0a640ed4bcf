"""Composes the stack: which processes, on which ports, with which environment.

In: `UpOptions` and the runtime. Out: `StackState` and the process specs, in the order in which they are shown.
Invariant: nothing is started here; the folders that hold data are made.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psutil
from pydantic import BaseModel, ConfigDict

from sayso.stack.app_processes import GATEWAY_PORT, GATEWAY_ROLE, PARTNERS_PORT, app_processes, local_services
from sayso.stack.cached_install import Progress
from sayso.stack.control_plane import PLACEMENT_PORT, SCHEDULER_PORT, placement, scheduler
from sayso.stack.kafka import DEFAULT_PORT as KAFKA_PORT
from sayso.stack.kafka import kafka, require_client
from sayso.stack.kafka_jars import KafkaInstallation, install_kafka
from sayso.stack.layout import App, load_layout
from sayso.stack.ports import HOST, Ports
from sayso.stack.process import Layer, ProcessSpec
from sayso.stack.runtime import Runtime, install_runtime
from sayso.stack.sidecar import ControlPlane, SidecarPorts, sidecar
from sayso.stack.state import Broker, LedgerKind, StackState
from sayso.stack.toxiproxy import NAME as TOXIPROXY
from sayso.stack.toxiproxy import Proxies, install_toxiproxy
from sayso.stack.valkey import DEFAULT_PORT as VALKEY_PORT
from sayso.stack.valkey import valkey
from sayso.webhook_sources import make_local_secrets, read_webhooks

OUTBOUND_TOPICS = frozenset(
    {"approval-requests", "refusals", "outcomes", "alerts", "payment-commands", "deadletters", "audit-anchors"}
)
SUBSCRIBERS_ROLE = "subscribers"
LOCAL_GATEWAY: Mapping[str, str] = MappingProxyType({"SAYSO_GATEWAY__DEVELOPMENT_LOGIN": "true"})
METRICS_PORTS: Mapping[str, int] = MappingProxyType({SUBSCRIBERS_ROLE: 9464, "worker": 9465})


class UpOptions(BaseModel):
    """What `sayso up` was asked for; paths are absolute."""

    model_config = ConfigDict(frozen=True)

    project: Path
    state_dir: Path
    broker: Broker = "valkey"
    ledger: LedgerKind = "sqlite"
    fresh: bool = False
    use_default_ports: bool = True
    replicas: int = 1
    """How many sidecars each app has, each with processes of its own; all share broker, state store and ledger."""
    partitionable: bool = False
    """Every replica reaches broker and database through a proxy of its own, which can be cut."""
    environment: dict[str, str] = {}
    """Laid over the environment of the project's own processes."""

    @property
    def data(self) -> Path:
        """Everything that `--fresh` removes, but for the ledger file."""
        return self.state_dir / "data"

    @property
    def config_dir(self) -> Path:
        """Folder of bindings.yaml, services.yaml and the rest."""
        named = self.environment.get("SAYSO_CONFIG_DIR") or os.environ.get("SAYSO_CONFIG_DIR") or "config"
        return self.project / named

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.state_dir / "logs"


@dataclass(frozen=True)
class Tools:
    """What is installed for the stack; Kafka and toxiproxy only when they were asked for."""

    runtime: Runtime
    kafka: KafkaInstallation | None = None
    toxiproxy: Path | None = None


def install_tools(options: UpOptions, progress: Progress) -> Tools:
    """Find or install what these options need; `progress` gets lines of text meanwhile."""
    runtime = install_runtime(progress)
    toxiproxy = install_toxiproxy(progress) if options.partitionable else None
    if options.broker != "kafka":
        return Tools(runtime, toxiproxy=toxiproxy)
    require_client()
    return Tools(runtime, install_kafka(progress), toxiproxy)


def subscriptions_of(config_dir: Path) -> frozenset[str]:
    """The topics that the project's bindings subscribe to; none without such a file."""
    return _topics_of(config_dir)[0]


def _topics_of(config_dir: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The topics that the bindings read, and those that they publish to."""
    path = config_dir / "bindings.yaml"
    if not path.exists():
        return frozenset(), frozenset()
    from sayso.contracts.catalog import EVENT_TYPES  # noqa: PLC0415 - as below
    from sayso.correlation.bindings import load_bindings  # noqa: PLC0415 - compiles expressions, which takes a moment
    from sayso.extensions import load_extensions  # noqa: PLC0415 - as above

    load_extensions(config_dir)
    bindings = load_bindings(path)
    published = frozenset(kind.topic for kind in EVENT_TYPES.values() if kind.direction == "out")
    return frozenset(bindings.subscriptions), bindings.answer_topics | published


@dataclass
class Replica:
    """One sidecar of each app, with the app's processes: how they reach what all replicas share."""

    number: int
    ledger_url: str
    components: dict[str, str] = field(default_factory=dict)
    """The variables of components/."""
    metrics: dict[str, int] = field(default_factory=dict)
    """Role → port of its `/metrics`."""

    def named(self, name: str) -> str:
        """`worker`, and `worker-2` of the second replica."""
        return name if self.number == 1 else f"{name}-{self.number}"


class StackPlan:
    """All processes of one stack, found step by step: storage, control plane, services, apps, sidecars."""

    def __init__(self, options: UpOptions, tools: Tools) -> None:
        self._options = options
        self._runtime = tools.runtime
        self._kafka = tools.kafka
        self._subscriptions, self._answer_topics = _topics_of(options.config_dir)
        self._ports = Ports(str(options.state_dir), use_defaults=options.use_default_ports)
        self._proxies = Proxies(tools.toxiproxy, self._ports)
        self.specs: list[ProcessSpec] = []
        self.redis_host = ""
        self.kafka_brokers = ""
        self.ledger_url = f"sqlite:///{options.state_dir / 'ledger.db'}"
        self._replicas = [Replica(number, ledger_url=self.ledger_url) for number in range(1, options.replicas + 1)]
        for replica in self._replicas:
            replica.metrics = {role: self._ports.take(port) for role, port in METRICS_PORTS.items()}

        every = load_layout(options.project, options.broker, options.ledger)
        apps = [app for app in every if GATEWAY_ROLE not in app.processes()]
        gateways = [app for app in every if app not in apps][:1]
        self._at = [SidecarPorts.of(app, self._ports) for _ in self._replicas for app in apps]
        self.gateway_port = self._ports.take(GATEWAY_PORT) if gateways else 0
        self._add_storage()
        control_plane = self._add_control_plane()
        self.partners_url = self._add_services()
        places = iter(self._at)
        for replica in self._replicas:
            for app in apps:
                sidecar_name = "daprd" if len(apps) == 1 else f"daprd-{app.app_id}"
                self._add_app(app, next(places), replica, control_plane, sidecar_name)
        for app in gateways:  # one for all replicas: it keeps nothing
            token = {"DAPR_API_TOKEN": secrets.token_hex(32)}
            self._add_app(app, SidecarPorts.of(app, self._ports), self._replicas[0], control_plane, f"daprd-{GATEWAY_ROLE}", token)

    def state(self) -> StackState:
        """The state before anything runs."""
        me = psutil.Process()
        return StackState(
            project=self._options.project,
            state_dir=self._options.state_dir,
            supervisor_pid=me.pid,
            supervisor_create_time=me.create_time(),
            broker=self._options.broker,
            ledger=self._options.ledger,
            redis_host=self.redis_host,
            kafka_brokers=self.kafka_brokers,
            ledger_url=self.ledger_url,
            partners_url=self.partners_url,
            gateway_url=f"http://{HOST}:{self.gateway_port}" if self.gateway_port else "",
            app_port=self._at[0].app,
            dapr_http_port=self._at[0].http,
            dapr_grpc_port=self._at[0].grpc,
            sidecar_http_ports=[at.http for at in self._at],
            toxiproxy_port=self._proxies.port,
            moved_ports=self._ports.moved,
            metrics={
                each.named(role): f"http://{HOST}:{port}/metrics" for each in self._replicas for role, port in each.metrics.items()
            },
        )

    def _add_storage(self) -> None:
        if self._options.broker == "valkey" or self._options.ledger == "sqlite":
            port = self._ports.take(VALKEY_PORT)
            self.redis_host = f"{HOST}:{port}"
            for replica in self._replicas:
                reached = self._proxies.through(replica.named("daprd-valkey"), port)
                replica.components["SAYSO_REDIS_HOST"] = f"{HOST}:{reached}"
            self.specs.append(valkey(port, self._options.data / "valkey"))
        if self._options.broker == "kafka":
            self._add_kafka()
        if self._options.ledger == "postgresql":
            self._add_postgresql()
        self.specs += self._proxies.specs(self._options.data / "toxiproxy")

    def _add_kafka(self) -> None:
        assert self._kafka is not None, "install_tools saw the same options"
        port = self._ports.take(KAFKA_PORT)
        self.kafka_brokers = f"{HOST}:{port}"
        advertised: dict[int, int] = {}
        for replica in self._replicas:
            # A client talks to the address that the broker tells it: each proxy needs a listener that tells the proxy's.
            own = self._ports.take() if self._options.partitionable else port
            reached = self._proxies.through(replica.named("daprd-kafka"), own)
            replica.components["SAYSO_KAFKA_BROKERS"] = f"{HOST}:{reached}"
            if own != port:
                advertised[own] = reached
        topics = self._subscriptions | self._answer_topics | OUTBOUND_TOPICS
        folder = self._options.data / "kafka"
        self.specs.append(kafka(self._kafka, port, self._ports.take(), folder, topics, advertised))

    def _add_postgresql(self) -> None:
        from sayso.stack.postgresql import DEFAULT_PORT, postgresql  # noqa: PLC0415 - only who asks for it loads it

        port = self._ports.take(DEFAULT_PORT)
        spec, cluster = postgresql(port, self._options.data / "postgresql")
        self.ledger_url = cluster.ledger_url(port)
        for replica in self._replicas:
            reached = self._proxies.through(replica.named("daprd-postgresql"), port)
            replica.components["SAYSO_STATE_POSTGRES"] = cluster.connection_string(reached)
            replica.ledger_url = cluster.ledger_url(self._proxies.through(replica.named("app-postgresql"), port))
        self.specs.append(spec)

    def _add_control_plane(self) -> ControlPlane:
        at = ControlPlane(self._ports.take(PLACEMENT_PORT), self._ports.take(SCHEDULER_PORT))
        self._options.data.mkdir(parents=True, exist_ok=True)
        self.specs += [
            placement(self._runtime.placement, at.placement_port, self._ports, self._options.data),
            scheduler(self._runtime.scheduler, at.scheduler_port, self._ports, self._options.data / "scheduler"),
        ]
        return at

    def _add_services(self) -> str:
        reached: dict[str, dict[str, str]] = {"": {"DAPR_HTTP_ENDPOINT": f"http://{HOST}:{self._at[0].http}"}}
        if self.gateway_port:
            reached |= self._webhook_addresses()
        specs, urls = local_services(self._options.project, self._options.config_dir, self._options.data, self._ports, reached)
        self.specs += specs
        return urls.get("partners", f"http://{HOST}:{PARTNERS_PORT}")

    def _webhook_addresses(self) -> dict[str, dict[str, str]]:
        """For each source of webhooks.yaml whose secret is in the state folder: what its sender on this machine has to know."""
        found = read_webhooks(self._options.config_dir)
        if found is None:
            return {}
        sources, file = found
        make_local_secrets(sources, self._options.state_dir)
        return {
            name: {
                "{NAME}_WEBHOOK_URL": f"http://{HOST}:{self.gateway_port}/webhooks/{name}",
                "{NAME}_WEBHOOK_SECRET": source.secrets[0].read(file, ("webhooks", name, "secrets", 0), self._options.state_dir),
            }
            for name, source in sources.webhooks.items()
            if source.secrets[0].state_file is not None
        }

    def _add_app(
        self,
        app: App,
        at: SidecarPorts,
        replica: Replica,
        control_plane: ControlPlane,
        sidecar_name: str,
        token: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        storage = self._names(Layer.STORAGE)
        databases = tuple(name for name in storage if name in ("postgresql", TOXIPROXY))
        environment = {**self._app_environment(replica), **token}
        self.specs += app_processes(app, at, environment, after=databases, named=replica.named, gateway_port=self.gateway_port)
        needed = (*storage, "placement", "scheduler") if at.app else storage
        topics = self._subscriptions if SUBSCRIBERS_ROLE in app.processes() else frozenset()
        name = replica.named(sidecar_name)
        variables = {**replica.components, **token}
        self.specs.append(sidecar(self._runtime.daprd, name, app, at, control_plane, self._ports, variables, needed, topics))

    def _app_environment(self, replica: Replica) -> dict[str, str]:
        return {
            "SAYSO_LEDGER_URL": replica.ledger_url,
            "SAYSO_PARTNERS_URL": self.partners_url,
            "SAYSO_STATE_DIR": str(self._options.state_dir),
            "SAYSO_CONFIG_DIR": str(self._options.config_dir),
            **{name: value for name, value in replica.components.items() if name == "SAYSO_REDIS_HOST"},
            **{f"SAYSO_METRICS__{role.upper()}_PORT": str(port) for role, port in replica.metrics.items()},
            **({"SAYSO_GATEWAY__PORT": str(self.gateway_port), **LOCAL_GATEWAY} if self.gateway_port else {}),
            **self._options.environment,
        }

    def _names(self, layer: Layer) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.specs if spec.layer is layer)
