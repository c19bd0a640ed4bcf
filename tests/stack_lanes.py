"""Which stack tests share a worker of pytest-xdist, one after the other: a lane. Three lanes, so never more than three stacks run.

In: a test's node id. Out: its lane, or the test itself when it needs no stack. Tests that share a stack are in one lane; beyond that
the lanes are about equally long. (pytest-xdist's own `xdist_group` does nothing since pytest 9.2 keeps its node ids elsewhere.)
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

VALKEY, KAFKA, APART = "stacks on Valkey", "stacks on Kafka", "stacks apart"
WITH_STACKS = ("tests/integration/", "tests/faults/", "tests/contract/test_kafka_jars.py")
LANE_OF_FILE = {
    "test_broker_and_disk.py": APART,
    "test_local_stack.py": APART,
    "test_restored_ledger.py": APART,
    "test_pruning_a_running_stack.py": KAFKA,
    "test_deadline_while_down.py": KAFKA,
}
LANE_OF_TEST = {
    "test_with_two_of_everything_on_kafka_nothing_is_lost_or_done_twice_and_the_order_of_a_key_is_kept": APART,
}
"""They bring their own stacks, so they stand where there is time."""


def lane_of(node_id: str) -> str:
    """The lane of this test; other tests go to whoever has nothing to do."""
    if not node_id.startswith(WITH_STACKS):
        return node_id
    path, _, name = node_id.partition("::")
    file = path.rpartition("/")[2]
    return LANE_OF_TEST.get(name) or LANE_OF_FILE.get(file) or (KAFKA if "kafka" in f"{file} {name}" else VALKEY)


class LaneScheduling(LoadScopeScheduling):
    """Lanes first, since they are the longest; then all other tests, one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)
