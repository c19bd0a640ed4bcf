"""`sayso up`, `down`, `status`, `logs` on the real stack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
import valkey
from typer.testing import CliRunner

from sayso.cli.main import app
from sayso.errors import ConfigurationError
from sayso.stack import background, leftovers
from sayso.stack.state import ProcessStatus, StackState, StackStatus
from sayso.stack.up import StackFailedError
from sayso.testing.stack import PROJECT, StackHandle, running_stack

pytestmark = pytest.mark.stack

NAMES = ["valkey", "placement", "scheduler", "partners", "subscribers", "worker", "daprd", "gateway", "daprd-gateway"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackHandle]:
    with running_stack(tmp_path_factory.mktemp("stack")) as handle:
        yield handle


def sayso(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    error = f"{result.stderr}{result.exception or ''}"
    return result.exit_code, result.stdout, error


def test_every_process_of_the_stack_is_ready(stack: StackHandle) -> None:
    assert [process.name for process in stack.state.processes] == NAMES
    assert {process.status for process in stack.state.processes} == {ProcessStatus.READY}
    stack.wait_ready()


def test_nothing_listens_beyond_this_machine(stack: StackHandle) -> None:
    family = [process for parent in stack.processes().values() for process in (parent, *parent.children(recursive=True))]
    listening = [
        (process.name(), each.laddr.ip, each.laddr.port)
        for process in family
        for each in process.net_connections(kind="inet")
        if each.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
    ]
    assert len(listening) >= len(NAMES) - 1
    beyond = [each for each in listening if not is_loopback(each[1])]
    assert beyond == []


def is_loopback(address: str) -> bool:
    return ip_address(address.removeprefix("::ffff:")).is_loopback


def test_status_tells_what_runs_and_exits_with_0(stack: StackHandle) -> None:
    code, out, _ = sayso("status", "--json", "--state-dir", str(stack.options.state_dir))
    document = json.loads(out)
    assert code == 0
    assert document["status"] == "ready"
    assert [process["name"] for process in document["processes"]] == NAMES


def test_a_second_up_says_that_one_is_running(stack: StackHandle) -> None:
    for detach in ((), ("--detach",)):
        arguments = ["up", *detach, "--project", str(PROJECT), "--state-dir", str(stack.options.state_dir)]
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, ConfigurationError)
        assert f"is already running (supervisor {stack.state.supervisor_pid})" in str(result.exception)
    stack.wait_ready()


def test_logs_carry_the_name_of_their_process(stack: StackHandle) -> None:
    code, out, _ = sayso("logs", "-n", "3", "--state-dir", str(stack.options.state_dir))
    assert code == 0
    assert {line.partition("|")[0].strip() for line in out.splitlines()} <= set(NAMES)
    assert f"{'daprd':<{max(map(len, NAMES))}} | " in out


def test_logs_of_an_unknown_process_name_the_nearest(stack: StackHandle) -> None:
    result = CliRunner().invoke(app, ["logs", "wroker", "--state-dir", str(stack.options.state_dir)])
    assert 'no process "wroker"; did you mean "worker"?' in str(result.exception)


@pytest.mark.parametrize(
    "name", ["subscribers", "worker", "partners", "valkey", "placement", "daprd", "scheduler", "gateway", "daprd-gateway"]
)
def test_a_killed_process_comes_back_and_the_stack_is_ready_again(stack: StackHandle, name: str) -> None:
    before = stack.kill(name)
    stack.wait_ready()
    process = stack.process(name)
    assert process.pid != before
    assert process.restarts == 1


def test_what_was_stored_survives_down_and_up_and_fresh_wipes_it(tmp_path: Path) -> None:
    with running_stack(tmp_path, keep_data=True) as stack:
        broker(stack).set("kept", "yes")
        members = stack.process("scheduler").pid
    assert StackState.load(tmp_path) is not None
    with running_stack(tmp_path, keep_data=True) as stack:
        assert broker(stack).get("kept") == b"yes"
        assert stack.process("scheduler").pid != members
    with running_stack(tmp_path, fresh=True) as stack:
        assert broker(stack).get("kept") is None
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "ledger.db").exists()


def broker(stack: StackHandle) -> valkey.Valkey:
    host, _, port = stack.state.redis_host.partition(":")
    return valkey.Valkey(host=host, port=int(port), single_connection_client=True)


def listeners(ports: Iterable[int]) -> set[int]:
    """The processes that listen on one of these ports."""
    wanted = set(ports)
    found = psutil.net_connections("tcp")
    return {one.pid for one in found if one.pid and one.status == psutil.CONN_LISTEN and one.laddr.port in wanted}


def belongs_to(pid: int, folder: Path) -> bool:
    """Whether it is of the stack in this folder."""
    try:
        process = psutil.Process(pid)
        return any(str(folder) in word for word in (*process.cmdline(), *process.environ().values()))
    except psutil.NoSuchProcess:
        return False


def test_a_stack_whose_supervisor_was_killed_leaves_nothing_and_can_be_started_again(tmp_path: Path) -> None:
    with running_stack(tmp_path, keep_data=True) as stack:
        state, running = stack.state, stack.processes()
        os.kill(state.supervisor_pid, signal.SIGKILL)
        assert all_end(running)
    ports = [state.app_port, state.dapr_grpc_port, state.dapr_http_port]
    assert not [pid for pid in listeners(ports) if belongs_to(pid, tmp_path)]  # a stack beside this one may have taken them since
    with running_stack(tmp_path) as stack:
        stack.wait_ready()


def all_end(processes: dict[str, psutil.Process], timeout_seconds: float = 15) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while any(leftovers.find(each.pid, each.create_time()) for each in processes.values()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def in_foreground(state_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sayso.cli.main", "up", "--project", str(PROJECT), "--state-dir", str(state_dir)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_no_port_open(tmp_path: Path, number: signal.Signals) -> None:
    with in_foreground(tmp_path) as supervisor:
        assert supervisor.stdout is not None
        lines = []
        for line in supervisor.stdout:
            lines.append(line)
            if "Ctrl-C stops it" in line:
                break
        state = StackState.load(tmp_path)
        assert state is not None, "".join(lines)
        running = StackHandle.of(state).processes()
        assert list(running) == NAMES
        supervisor.send_signal(number)
        rest = supervisor.stdout.read()
        assert supervisor.wait(30) == 0, rest
    assert all_end(running, timeout_seconds=1)
    ports = [state.app_port, state.dapr_grpc_port, state.dapr_http_port]
    assert not [pid for pid in listeners(ports) if belongs_to(pid, tmp_path)]
    last = StackState.load(tmp_path)
    assert last is not None
    assert last.status is StackStatus.STOPPED


def test_up_detached_then_down_twice(tmp_path: Path) -> None:
    folder = ["--project", str(PROJECT), "--state-dir", str(tmp_path)]
    up = subprocess.run(
        [sys.executable, "-m", "sayso.cli.main", "up", "--detach", *folder], capture_output=True, text=True, check=False
    )
    assert up.returncode == 0, up.stderr
    assert "ready: valkey at 127.0.0.1:" in up.stderr
    assert sayso("status", *folder)[0] == 0
    assert sayso("down", *folder)[0] == 0
    assert sayso("status", *folder)[0] == 1
    code, _, error = sayso("down", *folder)
    assert code == 0
    assert "nothing is running" in error


def test_an_app_that_cannot_start_fails_the_stack_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "dapr.yaml").write_text(
        "version: 1\napps:\n- appID: broken\n  appDirPath: .\n  command: [python, -c, 'import sys; sys.exit(\"no licence\")']\n"
    )
    with (
        pytest.raises(StackFailedError, match=r"broken failed: exit code 1; .* last words: no licence"),
        running_stack(tmp_path / "state", project=tmp_path),
    ):
        pytest.fail("it became ready")
    state = StackState.load(tmp_path / "state")
    assert state is not None
    assert state.status is StackStatus.FAILED
    assert StackHandle.of(state).processes() == {}
    background.stop(state, lambda _: None)


def test_kafka_and_postgresql_keep_what_was_stored(tmp_path: Path) -> None:
    import psycopg
    from confluent_kafka.admin import AdminClient

    with running_stack(tmp_path, broker="kafka", ledger="postgresql", keep_data=True) as stack:
        assert [each.name for each in stack.state.processes][:2] == ["kafka", "postgresql"]
        topics = AdminClient({"bootstrap.servers": stack.state.kafka_brokers}).list_topics(timeout=10).topics
        assert {"purchases", "payments", "approvals", "outcomes", "deadletters"} <= set(topics)
        with psycopg.connect(libpq_url(stack.state)) as connection:
            connection.execute("CREATE TABLE kept (word text)")
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert ("dapr_state",) in tables
        test_nothing_listens_beyond_this_machine(stack)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(libpq_url(stack.state), password="guessed")
        stack.kill("postgresql")
        stack.wait_ready()
    with running_stack(tmp_path, broker="kafka", ledger="postgresql") as stack, psycopg.connect(libpq_url(stack.state)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def libpq_url(state: StackState) -> str:
    return state.ledger_url.replace("postgresql+psycopg://", "postgresql://")
