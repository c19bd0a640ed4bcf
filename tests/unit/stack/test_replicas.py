"""Replicas and proxies in a plan: what is shared, what each has of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sayso.stack.kafka_jars import KafkaInstallation, server_properties
from sayso.stack.plan import StackPlan, Tools, UpOptions
from sayso.stack.process import ProcessSpec
from sayso.stack.runtime import Runtime
from sayso.testing.stack import PROJECT

TOOLS = Tools(
    Runtime(Path("daprd"), Path("placement"), Path("scheduler"), "1.18.2", "cache"),
    KafkaInstallation(Path("java"), "jars"),
    Path("toxiproxy"),
)


def planned(folder: Path, **options: object) -> dict[str, ProcessSpec]:
    asked = UpOptions.model_validate(
        {"project": PROJECT, "state_dir": folder, "broker": "kafka", "use_default_ports": False, **options},
    )
    tools = TOOLS if asked.partitionable else Tools(TOOLS.runtime, TOOLS.kafka)
    return {spec.name: spec for spec in StackPlan(asked, tools).specs}


def test_a_second_replica_has_its_own_sidecar_and_ports_and_shares_the_rest(tmp_path: Path) -> None:
    specs = planned(tmp_path, replicas=2)
    one, two = specs["subscribers"].environment, specs["subscribers-2"].environment
    assert one["SAYSO_LEDGER_URL"] == two["SAYSO_LEDGER_URL"]
    assert one["SAYSO_PARTNERS_URL"] == two["SAYSO_PARTNERS_URL"]
    own = {"APP_PORT", "DAPR_HTTP_PORT", "DAPR_GRPC_PORT"}
    assert not {one[name] for name in own} & {two[name] for name in own}
    assert {name: specs["worker-2"].environment[name] for name in own} == {name: two[name] for name in own}
    assert specs["daprd"].environment["SAYSO_KAFKA_BROKERS"] == specs["daprd-2"].environment["SAYSO_KAFKA_BROKERS"]
    assert specs["daprd-2"].command[specs["daprd-2"].command.index("--app-id") + 1] == "sayso"
    assert sum(name.startswith(("kafka", "placement", "scheduler", "partners")) for name in specs) == 4


def test_every_replica_of_a_stack_that_can_be_partitioned_has_proxies_of_its_own(tmp_path: Path) -> None:
    specs = planned(tmp_path, replicas=2, partitionable=True)
    brokers = [specs[name].environment["SAYSO_KAFKA_BROKERS"] for name in ("daprd", "daprd-2")]
    assert len({*brokers, specs["kafka"].address}) == 3
    properties = (tmp_path / "data" / "kafka" / "server.properties").read_text()
    told = next(line for line in properties.splitlines() if line.startswith("advertised.listeners="))
    assert all(f"://{broker}" in told for broker in brokers)
    assert "toxiproxy" in specs["daprd"].after


@pytest.mark.parametrize("name", ["listeners", "advertised.listeners", "listener.security.protocol.map"])
def test_without_proxies_kafka_has_no_further_listener(name: str, tmp_path: Path) -> None:
    lines = server_properties(tmp_path, 9092, 9093, 8).splitlines()
    assert "PROXIED" not in next(line for line in lines if line.startswith(f"{name}="))
