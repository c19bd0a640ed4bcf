"""`dapr.yaml`: which apps the stack has, which components their sidecars load, which processes they are made of.

In: the project folder, the chosen broker and ledger. Out: `App`s with absolute paths.
Invariant: the same file serves `dapr run -f .`; only the component folders of broker and state store are exchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sayso.config_file import load_config
from sayso.errors import ConfigurationError
from sayso.stack.state import Broker, LedgerKind

FILE_NAME = "dapr.yaml"
BROKER_FOLDERS: dict[Broker, str] = {"valkey": "redis", "kafka": "kafka"}
STATE_FOLDERS: dict[LedgerKind, str] = {"sqlite": "state-redis", "postgresql": "state-postgresql"}
LOCAL_CONFIGURATION = Path("..", "local", "configuration.yaml")
"""Beside the folder of the app's configuration: what is laid over it on one machine."""


class DaprModel(BaseModel):
    """Part of Dapr's own file: it may hold more than we read."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class App(DaprModel):
    """One app and its sidecar."""

    app_id: str = Field(alias="appID", pattern=r"^[a-z0-9][a-z0-9-]*$")
    directory: Path = Field(alias="appDirPath")
    app_port: int = Field(50051, alias="appPort")
    """0: its sidecar never calls it."""
    app_protocol: str = Field("grpc", alias="appProtocol")
    grpc_port: int = Field(50001, alias="daprGRPCPort")
    http_port: int = Field(3500, alias="daprHTTPPort")
    log_level: str = Field("info", alias="logLevel")
    configuration: Path | None = Field(None, alias="configFilePath")
    resources: tuple[Path, ...] = Field((), alias="resourcesPaths")
    command: tuple[str, ...] = Field(min_length=1)
    env: dict[str, str] = {}

    def processes(self) -> dict[str, tuple[str, ...]]:
        """Name → command. `sayso serve A B` is one process a role, so that each can be killed and restarted alone."""
        if self.command[:2] == ("sayso", "serve"):
            serve = (sys.executable, "-m", "sayso.cli.main", "serve")
            return {role: (*serve, role) for role in self.command[2:]}
        return {self.app_id: with_this_python(self.command)}

    def configurations(self) -> tuple[Path, ...]:
        """The configuration and what the local stack lays over it."""
        if self.configuration is None:
            return ()
        overlay = (self.configuration.parent / LOCAL_CONFIGURATION).resolve()
        return (self.configuration, overlay) if overlay.exists() else (self.configuration,)


class DaprFile(DaprModel):
    """The whole file."""

    apps: tuple[App, ...] = Field(min_length=1)


def load_layout(project: Path, broker: Broker, ledger: LedgerKind) -> tuple[App, ...]:
    """The apps of the project; `ConfigurationError` names file, line and field, or the folder that is missing."""
    path = project / FILE_NAME
    if not path.exists():
        raise ConfigurationError(f"{path}: not found; run sayso in the project's folder, or name it with --project")
    file, source = load_config(path, DaprFile)
    apps = tuple(_located(app, project.resolve(), broker, ledger) for app in file.apps)
    for index, app in enumerate(apps):
        for folder in app.resources:
            if not folder.is_dir():
                raise source.error(("apps", index, "resourcesPaths"), f"{folder} is not a folder")
    return apps


def with_this_python(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command with `python` made the interpreter that runs us, so that PATH does not matter."""
    return (sys.executable, *command[1:]) if command[0] in ("python", "python3") else command


def _located(app: App, project: Path, broker: Broker, ledger: LedgerKind) -> App:
    directory = (project / app.directory).resolve()
    configuration = (directory / app.configuration).resolve() if app.configuration else None
    resources = tuple((directory / _chosen(path, broker, ledger)).resolve() for path in app.resources)
    return app.model_copy(update={"directory": directory, "configuration": configuration, "resources": resources})


def _chosen(path: Path, broker: Broker, ledger: LedgerKind) -> Path:
    if path.name in BROKER_FOLDERS.values():
        return path.with_name(BROKER_FOLDERS[broker])
    if path.name in STATE_FOLDERS.values():
        return path.with_name(STATE_FOLDERS[ledger])
    return path
