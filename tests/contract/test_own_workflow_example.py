"""The examples of docs/own-workflow.md: their own tests pass, as their authors run them, and the page shows what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples/own_workflow"
TEST_SECONDS = 300


@pytest.mark.parametrize(("name", "tests"), [("own_workflow", 7), ("order_processing", 7)])
def test_its_own_tests_pass(name: str, tests: int) -> None:
    folder = PROJECT / "examples" / name
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAYSO_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests")]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TEST_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout


def test_the_page_shows_what_is_there() -> None:
    page = (PROJECT / "docs/own-workflow.md").read_text(encoding="utf-8")
    there = "\n".join(path.read_text(encoding="utf-8") for kind in ("py", "yaml") for path in EXAMPLE.rglob(f"*.{kind}"))
    shown = re.findall(r"```(?:python|yaml)\n(?:# config/[^\n]*\n)?(.+?)```", page, re.DOTALL)
    assert len(shown) == 4
    assert not [snippet for snippet in shown if snippet not in there]
