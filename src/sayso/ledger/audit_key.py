"""The key of the audit chain: from a file or a setting, never from the database.

In: `AuditSettings` and the state folder. Out: an `AuditKey`. The file is made once, readable by its owner alone; a ledger that was
sealed already never gets a new key by itself, because a new one would make every old seal look wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from sayso.errors import ConfigurationError
from sayso.secret_file import write_secret_once
from sayso.settings import Settings

KEY_BYTES_MIN = 32
FILE_NAME = "audit.key"


@dataclass(frozen=True)
class AuditKey:
    """The secret, which no text form shows."""

    secret: bytes = field(repr=False)

    def seal(self, canonical: bytes) -> str:
        """HMAC-SHA-256 in hex."""
        return hmac.digest(self.secret, canonical, "sha256").hex()

    @property
    def mark(self) -> str:
        """Tells one key from another without telling the key."""
        return hmac.digest(self.secret, b"sayso audit key", hashlib.sha256).hex()[:16]


NO_KEY = AuditKey(b"")
"""Of a ledger that was never sealed: it has nothing that a key could be tried on."""


def load_audit_key(settings: Settings, *, may_create: bool) -> AuditKey:
    """The key that the settings name; `ConfigurationError` when there is none and none may be made, or it is too short."""
    if settings.audit.key is not None:
        return _parsed(settings.audit.key.get_secret_value(), "SAYSO_AUDIT__KEY")
    path = settings.audit.key_file or settings.state_dir / FILE_NAME
    if not path.exists():
        if not may_create:
            raise ConfigurationError(
                f"the audit key {path} is missing, and this ledger was sealed with it: bring it back (SAYSO_AUDIT__KEY_FILE names it)"
            )
        write_secret_once(path, secrets.token_hex(KEY_BYTES_MIN) + "\n")
    return _parsed(path.read_text(encoding="ascii"), str(path))


def _parsed(text: str, place: str) -> AuditKey:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError as error:
        raise ConfigurationError(f"{place}: an audit key is written in hex digits, at least {2 * KEY_BYTES_MIN}") from error
    if len(secret) < KEY_BYTES_MIN:
        raise ConfigurationError(f"{place}: an audit key has at least {2 * KEY_BYTES_MIN} hex digits, this one {2 * len(secret)}")
    return AuditKey(secret)
