"""Builds daprd, placement and scheduler from Dapr's Go module, reduced to the components that Sayso uses.

In: a work folder. Out: a folder with the three binaries, each of which has told its version.
Invariant: the source is exactly the released module (its checksum is pinned) minus unused components, plus the patches
named here; a patch that no longer fits stops the build.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from sayso.errors import ConfigurationError
from sayso.stack.cached_install import Progress, make_writable, run_tool

MODULE = "github.com/dapr/dapr"
RUNTIME_VERSION = "1.18.2"
MODULE_CHECKSUM = "h1:yT1BXImaUiYtIKaKVnOBiWVFqQU1ckQaiXkXEO2+Dh0="
BINARIES = ("daprd", "placement", "scheduler")

GO_MINIMUM = (1, 26, 5)
GO_SELF_UPGRADING = (1, 21, 0)
"""From this version on, Go fetches the newer Go that a module asks for, unless GOTOOLCHAIN forbids it."""

COMPONENT_FILES = frozenset(
    {
        "nameresolution_mdns.go",
        "pubsub_in-memory.go",
        "pubsub_kafka.go",
        "pubsub_redis.go",
        "secretstores_local_env.go",
        "secretstores_local_file.go",
        "state_in-memory.go",
        "state_postgres.go",
        "state_redis.go",
        "zz_notag.go",
    }
)

# Without the build tag daprd panics at start.
BUILD_FLAGS = (
    "-v",
    "-buildvcs=false",
    "-mod=readonly",
    "-tags=stablecomponents",
    f"-ldflags=-s -w -X {MODULE}/pkg/buildinfo.version={RUNTIME_VERSION}",
)

# placement and scheduler ignore --healthz-listen-address: their health port would listen on every interface.
PATCHES = (("pkg/healthz/server/server.go", 'fmt.Sprintf(":%d", s.port)', 'fmt.Sprintf("127.0.0.1:%d", s.port)'),)

THREE_WAYS = (
    "There are three ways to get the Dapr runtime:\n"
    "  1. the Dapr CLI: `dapr init --slim` (it ends up in ~/.dapr/bin, where Sayso looks);\n"
    "  2. containers: `docker compose up` runs the whole stack, runtime included;\n"
    "  3. Go {minimum} or newer on the PATH: `sayso runtime install` builds it (about 4 minutes, 2 GB of build cache)."
).format(minimum=".".join(map(str, GO_MINIMUM)))


def build_key() -> str:
    """Name of the installed folder: the version, and a hash of all that decides what the binaries contain."""
    recipe = json.dumps([MODULE_CHECKSUM, sorted(COMPONENT_FILES), BUILD_FLAGS, PATCHES])
    return f"{RUNTIME_VERSION}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def build_runtime(work: Path, progress: Progress) -> Path:
    """Build the three binaries below `work`; the result is a folder that holds nothing else."""
    go = require_go()
    source = work / "source"
    progress(f"fetching the source of Dapr {RUNTIME_VERSION}")
    shutil.copytree(download_module(go, work), source, symlinks=True)
    make_writable(source)
    prune_components(source)
    apply_patches(source)
    binaries = work / "bin"
    binaries.mkdir()
    run_tool(
        [go, "build", *BUILD_FLAGS, "-o", f"{binaries}{os.sep}", *(f"./cmd/{name}" for name in BINARIES)],
        cwd=source,
        env=go_environment(),
        progress=progress,
        describe=describe_build,
    )
    return binaries


def require_go() -> str:
    """Path of a Go that can build the runtime; `ConfigurationError` says what else can be done."""
    go = shutil.which("go")
    if go is None:
        raise ConfigurationError(f"The Dapr runtime is not installed, and there is no Go to build it with.\n{THREE_WAYS}")
    version, toolchain = _go_facts(go)
    if not go_suffices(version, toolchain):
        raise ConfigurationError(
            f"The Dapr runtime is not installed, and {go} is {version} with GOTOOLCHAIN={toolchain}: it is too old, "
            f"and not allowed to fetch a newer Go by itself (GOTOOLCHAIN=auto would let it).\n{THREE_WAYS}"
        )
    return go


def go_suffices(version: str, toolchain: str) -> bool:
    """Whether a Go of this GOVERSION and GOTOOLCHAIN can build the module, fetching a newer Go if it may."""
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return True  # built from its development branch: newer than any release
    number = tuple(int(part or 0) for part in match.groups())
    may_upgrade = toolchain == "auto" or toolchain.endswith("+auto")
    return number >= GO_MINIMUM or (may_upgrade and number >= GO_SELF_UPGRADING)


def _go_facts(go: str) -> tuple[str, str]:
    answer = _ask(go, "env", "GOVERSION", "GOTOOLCHAIN").stdout.split("\n")
    version, toolchain = (*answer, "", "")[:2]
    return version.strip(), toolchain.strip() or "local"


def download_module(go: str, work: Path) -> Path:
    """Folder of the released module in Go's module cache, fetched if need be; its checksum must be the pinned one."""
    answer = _ask(go, "mod", "download", "-json", f"{MODULE}@v{RUNTIME_VERSION}", cwd=work)
    try:
        module = json.loads(answer.stdout)
    except json.JSONDecodeError:
        module = {"Error": answer.stderr.strip()}
    if "Dir" not in module:
        raise ConfigurationError(
            f"Go could not fetch {MODULE} v{RUNTIME_VERSION}: {module.get('Error', 'no reason given')}\n"
            f"Check the network and `go env GOPROXY`.\n{THREE_WAYS}"
        )
    if module.get("Sum") != MODULE_CHECKSUM:
        raise ConfigurationError(
            f"{MODULE} v{RUNTIME_VERSION} has checksum {module.get('Sum')}, not {MODULE_CHECKSUM}: it is not the released source."
        )
    return Path(module["Dir"])


def prune_components(source: Path) -> None:
    """Keep only our components in daprd: half of the build time goes into the others."""
    folder = source / "cmd" / "daprd" / "components"
    found = {path.name for path in folder.glob("*.go")}
    if missing := COMPONENT_FILES - found:
        raise ConfigurationError(f"{folder} lacks {', '.join(sorted(missing))}: this is not Dapr {RUNTIME_VERSION}.")
    for name in found - COMPONENT_FILES:
        (folder / name).unlink()


def apply_patches(source: Path) -> None:
    """Apply `PATCHES`, each at exactly one place."""
    for name, old, new in PATCHES:
        path = source / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ConfigurationError(f"{path} has {text.count(old)} times `{old}`, not once: this is not Dapr {RUNTIME_VERSION}.")
        path.write_text(text.replace(old, new), encoding="utf-8")


def describe_build(lines: list[str]) -> str:
    """One line of progress from what `go build -v` printed so far."""
    modules = sum(line.startswith("go: downloading ") for line in lines)
    packages = sum(bool(line) and not line.startswith("go: ") for line in lines)
    return f"building Dapr {RUNTIME_VERSION} with Go: {modules} modules fetched, {packages} packages compiled"


def go_environment() -> dict[str, str]:
    """The caller's environment without a workspace of the caller's, which would replace the module's own requirements."""
    return {**os.environ, "GOWORK": "off"}


def _ask(go: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - Go itself, fixed arguments
        [go, *arguments], cwd=cwd, env=go_environment(), capture_output=True, text=True, check=False
    )
