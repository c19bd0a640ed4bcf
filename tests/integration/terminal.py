"""The command line beside a stack, as a person runs it: its own process, its exit code, its output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from running_system import RunningSystem

COMMAND_SECONDS = 90.0


@dataclass(frozen=True)
class Terminal:
    """Runs `sayso` beside a stack."""

    system: RunningSystem

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SAYSO_", "DAPR_"))}
        return {**clean, "SAYSO_STATE_DIR": str(self.system.state.state_dir)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sayso.cli.main", *arguments]
        return subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def sayso(self, *arguments: str, code: int = 0) -> str:
        """What it prints; with its messages when that is not all."""
        running = self.start(*arguments)
        printed, said = running.communicate(timeout=COMMAND_SECONDS)
        assert running.returncode == code, f"{arguments}: {running.returncode}\n{printed}\n{said}"
        assert "Traceback" not in said
        return printed if code == 0 else printed + said

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.sayso(*arguments, "--json", code=code))
