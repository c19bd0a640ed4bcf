"""`make bench` with a handful of cases: both run, every case ends approved, and the JSON has what docs/benchmark.md says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sayso.testing.stack import PROJECT

CASES = 6


@pytest.mark.stack
def test_the_benchmark_compares_both_on_the_real_stack(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.run", "--n", str(CASES), "--rounds", "1", "--warm-up", "3", "--json"]
    done = subprocess.run(
        [*command, "--state-dir", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["summary"]["ratio"] > 0
    rounds = {one["contestant"]: one for one in said["rounds"]}
    assert rounds.keys() == {"byhand", "sayso"}
    for one in rounds.values():
        assert one["flow"]["cases"] == CASES
        assert one["flow"]["cases_per_second"] > 0
        assert 0 < one["wake"]["p50_ms"] <= one["wake"]["p95_ms"]
    assert "by-hand app" in rounds["byhand"]["flow"]["cpu_ms_per_case"]
    assert {"subscribers", "worker", "partners", "daprd", "valkey"} <= rounds["sayso"]["flow"]["cpu_ms_per_case"].keys()
