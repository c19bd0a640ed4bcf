"""Finds the Dapr runtime, or has it built once.

In: SAYSO_RUNTIME_DIR, the PATH, the home and cache folders. Out: one `Runtime`, the three binaries and their version.
Invariant: all three come from the same place and are new enough; what is too old is passed over, except in the folder
that SAYSO_RUNTIME_DIR names, where it is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sayso.errors import ConfigurationError
from sayso.stack.cached_install import Progress, cache_folder, install_once
from sayso.stack.runtime_build import BINARIES, RUNTIME_VERSION, build_key, build_runtime

MINIMUM_VERSION = (1, 18)
VERSION_TIMEOUT_SECONDS = 15

# placement and scheduler have no --version. Their first line of log tells it; a trust domain that cannot be makes them
# stop right after it, before they open a port.
VERSION_ARGUMENTS = {
    "daprd": ("--version",),
    "placement": ("--tls-enabled", "--trust-domain", ""),
    "scheduler": ("--tls-enabled", "--trust-domain", ""),
}


@dataclass(frozen=True)
class Runtime:
    """The three binaries of one Dapr version, and where they were found."""

    daprd: Path
    placement: Path
    scheduler: Path
    version: str
    origin: str

    @property
    def built_here(self) -> bool:
        """Built by Sayso: its health ports listen on 127.0.0.1 only; those of a released binary on every interface."""
        return self.origin == "cache"


@dataclass(frozen=True)
class Candidate:
    """A place that holds all three binaries; `versions` has None where a binary did not tell."""

    origin: str
    paths: dict[str, Path]
    versions: dict[str, str | None]

    @property
    def refusal(self) -> str | None:
        """Why these binaries cannot be used, or None."""
        for name, version in self.versions.items():
            if version is None:
                return f"{self.paths[name]} does not tell its version"
            if release(version) < MINIMUM_VERSION:
                return f"{self.paths[name]} is {version}, older than {'.'.join(map(str, MINIMUM_VERSION))}"
        if len(set(self.versions.values())) > 1:
            return "versions differ: " + ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return None


def find_runtime() -> Runtime | None:
    """The first usable runtime: SAYSO_RUNTIME_DIR, the PATH, ~/.dapr/bin, our cache; None if there is none."""
    for candidate in candidates():
        if candidate.refusal is None:
            return Runtime(**candidate.paths, version=str(candidate.versions["daprd"]), origin=candidate.origin)
        if candidate.origin == "SAYSO_RUNTIME_DIR":
            raise ConfigurationError(f"SAYSO_RUNTIME_DIR: {candidate.refusal}. Name another folder, or unset it.")
    return None


def install_runtime(progress: Progress) -> Runtime:
    """Find the runtime, or build it into the cache; `progress` gets a line of text every few seconds."""
    found = find_runtime()
    if found is not None:
        return found
    install_once(cached_runtime_folder(), lambda work: build_runtime(work, progress), progress)
    built = find_runtime()
    if built is None:
        raise ConfigurationError(f"The binaries built into {cached_runtime_folder()} do not run. Remove that folder and try again.")
    return built


def cached_runtime_folder() -> Path:
    """Where `install_runtime` puts what it builds."""
    return cache_folder("runtime") / build_key()


def candidates() -> Iterator[Candidate]:
    """Places with all three binaries, in the order in which they are preferred."""
    for origin, paths in _places():
        if len(paths) == len(BINARIES):
            yield Candidate(origin, paths, {name: ask_version(name, path) for name, path in paths.items()})


def _places() -> Iterator[tuple[str, dict[str, Path]]]:
    """SAYSO_RUNTIME_DIR replaces the search: who names a folder wants that one and no other."""
    if named := os.environ.get("SAYSO_RUNTIME_DIR"):
        yield "SAYSO_RUNTIME_DIR", _binaries_of_named_folder(Path(named))
        return
    yield "PATH", {name: Path(found) for name in BINARIES if (found := shutil.which(name))}
    yield "~/.dapr/bin", binaries_in(Path.home() / ".dapr" / "bin")
    yield "cache", binaries_in(cached_runtime_folder())


def _binaries_of_named_folder(folder: Path) -> dict[str, Path]:
    found = binaries_in(folder)
    if missing := [name for name in BINARIES if name not in found]:
        raise ConfigurationError(
            f"SAYSO_RUNTIME_DIR: {folder} has no {', '.join(missing)}. Name a folder with {', '.join(BINARIES)}, or unset it."
        )
    return found


def binaries_in(folder: Path) -> dict[str, Path]:
    """Which of the three executables `folder` holds."""
    paths = {name: folder / name for name in BINARIES}
    return {name: path for name, path in paths.items() if path.is_file() and os.access(path, os.X_OK)}


def ask_version(name: str, path: Path) -> str | None:
    """The version that the binary tells, such as `1.18.2`; None if it does not run or does not say."""
    try:
        answer = subprocess.run(  # noqa: S603 - the binary that was asked for
            [path, *VERSION_ARGUMENTS[name]], capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout + answer.stderr)


def parse_version(output: str) -> str | None:
    """The version in `1.18.2` or in `… -- version 1.18.2 -- commit …`."""
    match = re.search(r"^v?(\d+\.\d+\.\d+\S*)\s*$|-- version v?(\d+\.\d+\.\d+\S*)", output, re.MULTILINE)
    return (match.group(1) or match.group(2)) if match else None


def release(version: str) -> tuple[int, ...]:
    """`1.18.2-rc.1` as (1, 18, 2)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


__all__ = ["BINARIES", "RUNTIME_VERSION", "Candidate", "Runtime", "candidates", "find_runtime", "install_runtime"]
