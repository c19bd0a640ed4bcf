"""Secrets by reference: configuration names where a secret is, never the secret.

In: `{env: NAME}`, `{file: PATH}` (beside the configuration file) or `{state_file: PATH}` (in the state folder; of this machine's own
parts, made once). Out: its text. Invariant: a secret that is missing or empty stops the start with file, line and what to do.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from sayso.config_file import ConfigFile, ConfigModel, Location

KINDS = ("env", "file", "state_file")


class SecretReference(ConfigModel):
    """Where one secret is."""

    env: str | None = Field(None, min_length=1, description="Environment variable that holds it.")
    file: Path | None = Field(None, description="File that holds it; relative to the folder of the configuration.")
    state_file: Path | None = Field(None, description="File in the state folder; made at the first start if it is missing.")

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"say where the secret is, with one of {', '.join(KINDS)}")
        return self

    def read(self, file: ConfigFile, at: Location, state_dir: Path) -> str:
        """The secret without outer blanks, or a `ConfigurationError`."""
        if self.env is not None:
            text, place = os.environ.get(self.env, ""), f"the environment variable {self.env}"
            hint = f"export {self.env}=… before the start"
        else:
            path = self._path(file, state_dir)
            place, hint = str(path), "write the secret into it, readable by this user alone"
            try:
                text = path.read_text(encoding="utf-8")
            except FileNotFoundError:
                raise file.error(at, f"the secret is missing: there is no {place}; {hint}") from None
            except (OSError, UnicodeDecodeError) as error:
                raise file.error(at, f"the secret cannot be read from {place}: {error}") from error
        if not text.strip():
            raise file.error(at, f"the secret is empty: {place} holds nothing; {hint}")
        return text.strip()

    def _path(self, file: ConfigFile, state_dir: Path) -> Path:
        if self.state_file is not None:
            return state_dir / self.state_file
        assert self.file is not None
        return file.path.parent / self.file


def write_secret_once(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner alone; one that is there stays, also when another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
