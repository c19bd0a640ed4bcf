"""Compact JWS (RFC 7515): a text and the key that signed it, in and out.

In: a token of another system, which may be anything. Out: the payload that its key has signed, or a `MalformedError` that says what to
change. Invariants: the key, not the token, says which algorithm counts; a token has one spelling.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey
from joserfc.jws import JWSRegistry, deserialize_compact, serialize_compact

from sayso.contracts.cloudevent import read_json
from sayso.errors import ConfigurationError, MalformedError

TOKEN_CHARACTERS_MAX = 64 * 1024
COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
"""Anything else (`crit`, `b64`, `jku`, `x5c`, `zip`, …) would change what the token means, or bring a key of its own."""
ALGORITHMS: Mapping[str, tuple[str, ...]] = MappingProxyType({"EdDSA": ("EdDSA", "Ed25519"), "HS256": ("HS256",)})
"""The algorithm of a key in `senders.yaml` → what its tokens may call it: RFC 9864 has a new name for the old one."""


@dataclass(frozen=True)
class Key:
    """One key of one sender. `material` verifies; it also signs if it is a secret."""

    sender: str
    id: str
    algorithm: str
    material: OKPKey | OctKey | None = field(repr=False, default=None)
    """None: revoked."""

    @property
    def can_sign(self) -> bool:
        """Whether it is here as a whole, not only its public half."""
        return self.material is not None and self.material.is_private


class _Registry(JWSRegistry):
    """The two algorithms alone. The library's own lookup warns of the name `EdDSA`, which other systems still write."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY = _Registry()


def verified(token: str, keys: Mapping[str, Key]) -> tuple[Key, bytes]:
    """The key whose signature this is, and the payload that it signed."""
    header = _header(token)
    key = keys.get(header["kid"])
    if key is None:
        raise MalformedError(f'no sender has a key "{_short(header["kid"])}": `kid` is the id of a key in senders.yaml')
    if key.material is None:
        raise MalformedError(f'the key "{key.id}" of {key.sender} is revoked: sign with another one')
    if header["alg"] not in ALGORITHMS[key.algorithm]:
        raise MalformedError(f'the key "{key.id}" signs with {key.algorithm}, not with "{_short(header["alg"])}"')
    try:
        return key, deserialize_compact(token, key.material, registry=_REGISTRY).payload
    except (JoseError, ValueError, TypeError) as error:
        raise MalformedError(
            f'the signature is not that of the key "{key.id}" of {key.sender} over these claims: '
            "sign with the key that senders.yaml names, and change nothing after it"
        ) from error


def signed(key: Key, payload: bytes) -> str:
    """The token that this key makes of the payload."""
    if not key.can_sign or key.material is None:
        raise ConfigurationError(f'the key "{key.id}" of {key.sender} only verifies here: its secret is with the sender')
    return serialize_compact({"alg": key.algorithm, "kid": key.id}, payload, key.material, registry=_REGISTRY)


def _header(token: str) -> dict[str, str]:
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise MalformedError(f"`signature` has {len(token)} characters; at most {TOKEN_CHARACTERS_MAX}")
    parts = COMPACT.fullmatch(token)
    if parts is None or any(not _is_exact(part) for part in parts.groups()):
        raise MalformedError("`signature` is no compact JWS: three texts in base64url without padding, joined by dots")
    try:
        header = read_json(_decoded(parts[1]))
    except MalformedError as error:
        raise MalformedError(f"the header of `signature`: {error}") from error
    if not isinstance(header, dict) or not all(isinstance(header.get(name), str) for name in ("alg", "kid")):
        raise MalformedError("the header of `signature` needs `alg` and `kid`, both texts")
    unknown = sorted(header.keys() - HEADER_MEMBERS)
    if unknown:
        raise MalformedError(f'the header of `signature` may hold alg, kid and typ; remove "{_short(unknown[0])}"')
    return header


def _is_exact(part: str) -> bool:
    """Whether it is written as its bytes are: a decoder takes other spellings for the same bytes."""
    try:
        return base64.urlsafe_b64encode(_decoded(part)).rstrip(b"=").decode() == part
    except ValueError:
        return False


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
