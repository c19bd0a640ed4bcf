"""Keys of this installation's own senders: files in the state folder, made once, never in a repository.

In: `senders.yaml`. Out: the file of every `state_file` key that is not there yet; new secrets and their public halves as text.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from joserfc.jwk import OKPKey

from sayso.secret_file import write_secret_once
from sayso.signing.senders import SECRET_BYTES_MIN, read_rules


def make_local_keys(senders_file: Path, state_dir: Path) -> list[Path]:
    """Make those that are missing; returns what was made. Several processes may: the first one's key is the key."""
    if not senders_file.exists():
        return []
    written, _ = read_rules(senders_file)
    wanted = [
        (state_dir / key.state_file, key.algorithm)
        for sender in written.senders.values()
        for key in sender.keys
        if key.state_file is not None and not key.revoked
    ]
    return [path for path, algorithm in wanted if not path.exists() and write_secret_once(path, new_secret(algorithm))]


def new_secret(algorithm: str) -> str:
    """A secret as the file or variable of a key holds it: PEM for EdDSA, hex for HS256."""
    if algorithm == "HS256":
        return secrets.token_hex(SECRET_BYTES_MIN) + "\n"
    pem: bytes = OKPKey.generate_key("Ed25519").as_pem(private=True)
    return pem.decode()


def public_half(secret: str) -> str:
    """What others need to verify: the public key in PEM."""
    pem: bytes = OKPKey.import_key(secret).as_pem(private=False)
    return pem.decode()
