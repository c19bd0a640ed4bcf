"""A stack with an extension, started by typing: in processes of its own, so that nothing of it is known to this one.

In: the lines that a person types. Out: what they printed, and the state of the stack.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sayso.stack.state import StackState
from sayso.testing.stack import PROJECT

SECONDS = 300.0


@dataclass(frozen=True)
class Shell:
    """A shell in the project's folder, with Sayso on its path and a state folder of its own."""

    state_dir: Path
    setting_up: str
    """The line that says which configuration it is: first in every script."""

    def type(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Run the lines, up to the first that fails."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SAYSO_", "DAPR_", "PYTHON"))}
        clean |= {"SAYSO_STATE_DIR": str(self.state_dir), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        clean |= {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
        command = ["bash", "-c", "\n".join(["set -e", self.setting_up, *lines])]
        return subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True, check=False, timeout=SECONDS)

    def must(self, *lines: str) -> str:
        """As `type`; all of it must go well. Gives what was printed, messages last."""
        done = self.type(*lines)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def state(self) -> StackState:
        """The stack, once it is up."""
        state = StackState.load(self.state_dir)
        assert state is not None
        return state


@contextmanager
def shell_of(state_dir: Path, setting_up: str) -> Iterator[Shell]:
    """The shell; whatever it has started is stopped in the end."""
    shell = Shell(state_dir, setting_up)
    try:
        yield shell
    finally:
        shell.must("sayso down")
