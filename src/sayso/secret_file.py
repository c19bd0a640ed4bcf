"""Files that hold a secret: made once, whole, and readable by their owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_secret_once(path: Path, text: str) -> bool:
    """Write the file unless it is there; whether this call made it. Whole or not at all: a link never replaces what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return False  # another process was first: its secret is the secret
    finally:
        draft.unlink()
    return True
