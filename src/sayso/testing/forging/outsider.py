"""Tricks of somebody who knows all public keys and key ids, and has no key that anybody knows.

Out: an event a call, each a decision that nobody may take.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

from joserfc.jwk import OKPKey

from sayso.testing.forging.writer import BASE64URL, Event, Writer


class Outsider(Writer):
    """Without a key that means anything here."""

    def unsigned(self) -> Event:
        more: Event = self.rng.choice(({}, {"signature": ""}, {"signature": None}, {"jws": "x.y.z"}, {"Signature": "a.b.c"}))
        return self.honest() | more

    def no_text(self) -> Event:
        token = self.signed(self.honest())["signature"]
        return self.honest() | {"signature": self.rng.choice((1, True, [token], {"token": token}, token.encode().hex(), f'"{token}"'))}

    def none(self) -> Event:
        event = self.honest()
        name = self.rng.choice(("none", "None", "NONE", "nOnE", ""))
        tail = self.rng.choice((b"", b"\0", bytes(64)))
        return event | {"signature": self.token({"alg": name, "kid": "erp-2"}, self.claims(event), lambda _: tail)}

    def public_as_secret(self) -> Event:
        event = self.honest()
        material = self.company.erp.material
        assert isinstance(material, OKPKey)
        pem = material.as_pem(private=False)
        raw = base64.urlsafe_b64decode(material.as_dict(private=False)["x"] + "==")  # type: ignore[operator]
        secret = self.rng.choice((pem, pem.strip(), raw, raw.hex().encode(), b""))
        header = {"alg": self.rng.choice(("HS256", "HS384", "HS512")), "kid": self.rng.choice(("erp-2", "clerk-1", "till-1"))}
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[header["alg"]]
        return event | {"signature": self.token(header, self.claims(event), lambda text: hmac.digest(secret, text, digest))}

    def key_confusion(self) -> Event:
        """Signed with a key that the forger has, under the id of one that it has not."""
        own = self.rng.choice((self.company.nobodys, self.company.clerk, self.company.shop))
        kid = self.rng.choice(("erp-2", "till-1"))
        alg = self.rng.choice(("EdDSA", "Ed25519"))
        event = self.honest()
        return event | {"signature": self.token({"alg": alg, "kid": kid}, self.claims(event), self.by(own))}

    def unknown_key(self) -> Event:
        kid: Any = self.rng.choice(
            ("erp-3", "ERP-2", "", "../../dev/null", "erp-2\0", "' OR 1=1 --", "é", ["erp-2"], 2, None, {"kid": 1})
        )
        event = self.honest()
        return event | {"signature": self.token({"alg": "EdDSA", "kid": kid}, self.claims(event), self.by(self.company.nobodys))}

    def header_members(self) -> Event:
        event = self.honest()
        own = self.company.nobodys
        assert isinstance(own.material, OKPKey)
        extra: dict[str, Any] = self.rng.choice(
            (
                {"crit": ["b64"], "b64": False},
                {"b64": False},
                {"crit": []},
                {"jwk": own.material.as_dict(private=False)},
                {"jku": "https://forger.example/keys"},
                {"x5c": ["MIIB"]},
                {"zip": "DEF"},
                {"alg": ["EdDSA"]},
                {"ALG": "EdDSA"},
            )
        )
        key = self.rng.choice((own, self.company.erp))  # also with the honest key: these names must not be there
        return event | {"signature": self.token({"alg": "EdDSA", "kid": "erp-2"} | extra, self.claims(event), self.by(key))}

    def twice(self) -> Event:
        """The clerk may sign, for dave; what it signs has a name twice."""
        event = self.honest()
        claims = json.dumps(self.claims(event, "clerk"))
        header = '{"alg":"EdDSA","kid":"clerk-1"}'
        if self.rng.random() < 0.5:
            claims = claims[:-1] + ',"decision":{"approved":true,"approver":"dave","reason":"within budget"}}'
        else:
            header = '{"kid":"erp-2","alg":"EdDSA","kid":"clerk-1"}'
        return event | {"signature": self.raw_token(header.encode(), claims.encode(), self.by(self.company.clerk))}

    def noise(self) -> Event:
        text = "".join(self.rng.choice(BASE64URL + "..=+/ \n\t") for _ in range(self.rng.randrange(200)))
        return self.honest() | {"signature": text}

    def huge(self) -> Event:
        event = self.honest()
        size = self.rng.choice((70_000, 200_000, 500_000))
        token = self.rng.choice(("A" * size, ".".join("A" * size), f"{'e30' * (size // 3)}.e30.e30"))
        deep = self.raw_token(b'{"alg":"EdDSA","kid":"erp-2"}', b"[" * 20_000, self.by(self.company.nobodys))
        return event | {"signature": self.rng.choice((token, deep))}
