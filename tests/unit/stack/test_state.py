from pathlib import Path

from sayso.stack.state import FILE_NAME, ProcessState, ProcessStatus, StackState, StackStatus


def state(folder: Path) -> StackState:
    return StackState(
        status=StackStatus.READY,
        project=folder,
        state_dir=folder,
        supervisor_pid=1,
        supervisor_create_time=2.5,
        broker="valkey",
        ledger="postgresql",
        redis_host="127.0.0.1:6379",
        ledger_url="postgresql+psycopg://sayso:very-secret@127.0.0.1:5432/sayso",
        partners_url="http://127.0.0.1:8090",
        app_port=50051,
        dapr_http_port=3500,
        dapr_grpc_port=50001,
        processes=[ProcessState(name="valkey", log=folder / "valkey.log", status=ProcessStatus.READY, pid=7)],
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state(tmp_path).save()
    assert StackState.load(tmp_path) == state(tmp_path)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    state(tmp_path).save()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_there_is_no_state_before_the_first_up(tmp_path: Path) -> None:
    assert StackState.load(tmp_path) is None


def test_a_file_of_another_version_is_no_state(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"something": "else"}')
    assert StackState.load(tmp_path) is None


def test_what_is_shown_holds_no_password(tmp_path: Path) -> None:
    shown = state(tmp_path).shareable()
    assert "very-secret" not in str(shown)
    assert shown["ledger_url"] == "postgresql+psycopg://sayso:***@127.0.0.1:5432/sayso"


def test_the_broker_is_the_one_that_carries_the_topics(tmp_path: Path) -> None:
    assert state(tmp_path).broker_address == "127.0.0.1:6379"
    with_kafka = state(tmp_path).model_copy(update={"broker": "kafka", "kafka_brokers": "127.0.0.1:9092"})
    assert with_kafka.broker_address == "127.0.0.1:9092"
