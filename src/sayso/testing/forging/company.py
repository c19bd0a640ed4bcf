"""The company whose decisions are forged: who may sign there, and the whole way of a decision without its transports.

In: the bindings. Out: `Company`, with keys of its own, and `Door`, which says what got in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from joserfc.jwk import OctKey, OKPKey

from sayso.contracts.signed import Matter
from sayso.contracts.workflow_io import RaisedEvent
from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Resume
from sayso.gate import Decision, Stage, decide
from sayso.settings import SigningSettings
from sayso.signing.notary import Notary
from sayso.signing.senders import FILE_NAME, KeyRule, SenderRule, Senders
from sayso.signing.tokens import Key

APPROVALS, DECIDED, DELEGATED = "approvals", "sayso.approval.decided.v1", "sayso.approval.delegated.v1"
WORKFLOW, KEY, INSTANCE = "purchase_order_workflow", "PO-1", "po-PO-1-1-abc123"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HASH, OTHER_HASH = "ab" * 32, "cd" * 32
SETTINGS = SigningSettings(audience="shop.example", clock_skew=timedelta(minutes=1))


def demanding(bindings: Bindings) -> Bindings:
    """The same bindings, with a signature on whatever comes on `approvals`."""
    rules = (
        replace(rule, treatment=replace(rule.treatment, signed_on=rule.topic)) if rule.topic == APPROVALS else rule
        for rule in bindings.rules
    )
    return replace(bindings, rules=tuple(rules))


class Company:
    """Who signs: `erp` for anybody, `till` with a shared secret, `clerk` for itself alone, `shop` payments alone."""

    def __init__(self) -> None:
        self.erp = Key("erp", "erp-2", "EdDSA", OKPKey.generate_key("Ed25519"))
        self.till = Key("till", "till-1", "HS256", OctKey.generate_key(256))
        self.clerk = Key("clerk", "clerk-1", "EdDSA", OKPKey.generate_key("Ed25519"))
        self.shop = Key("shop", "shop-1", "EdDSA", OKPKey.generate_key("Ed25519"))
        self.stolen = Key("erp", "erp-1", "EdDSA", OKPKey.generate_key("Ed25519"))
        self.nobodys = Key("erp", "erp-2", "EdDSA", OKPKey.generate_key("Ed25519"))
        known = (self.erp, self.till, self.clerk, self.shop, replace(self.stolen, material=None))
        decides: dict[str, Any] = {"types": (DECIDED, DELEGATED), "topics": (APPROVALS,)}
        rules = {
            "erp": _rule(speaks_for="any", **decides),
            "till": _rule(speaks_for=("bob", "carol"), **decides),
            "clerk": _rule(speaks_for="itself", person="dave", **decides),
            "shop": _rule(speaks_for="any", types=("com.acme.payment.captured.v1",), topics=("payments",)),
        }
        self.senders = Senders(rules, {key.id: key for key in known})

    def current(self) -> Senders:
        """For the notary."""
        return self.senders

    def write_senders(self, config_dir: Path) -> None:
        """Add its senders, with what others may know of their keys, to a configuration's `senders.yaml`."""
        path = config_dir / FILE_NAME
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, rule in self.senders.rules.items():
            keys = [self._written(key, config_dir) for key in self.senders.keys.values() if key.sender == name]
            document["senders"][name] = rule.model_dump(mode="json", exclude={"keys"}, exclude_none=True) | {"keys": keys}
        path.write_text(yaml.safe_dump(document), encoding="utf-8")

    @staticmethod
    def _written(key: Key, config_dir: Path) -> dict[str, Any]:
        file = config_dir / f"{key.id}.key"
        if isinstance(key.material, OKPKey):
            file.write_bytes(key.material.as_pem(private=False))
        elif key.material is not None:
            file.write_text(key.material.raw_value.hex(), encoding="ascii")
        return {"id": key.id, "algorithm": key.algorithm, "file": file.name, "revoked": key.material is None}


def _rule(**said: Any) -> SenderRule:
    return SenderRule(keys=(KeyRule(id="elsewhere", env="ELSEWHERE"),), **said)


class Door:
    """The whole way of a decision without its transports: correlation, notary, gate. It waits for the decision about `KEY`."""

    def __init__(self, bindings: Bindings, company: Company) -> None:
        self._bindings = demanding(bindings)
        self._notary = Notary(company, SETTINGS)
        deadline = NOW + timedelta(days=1)
        self._stage = Stage(
            WORKFLOW, "alice", deadline, accept_raw_raise=False, matter=lambda: Matter(INSTANCE, generation=1, request_hash=HASH)
        )

    def let_in(self, body: bytes, topic: str = APPROVALS) -> tuple[str, Decision] | None:
        """The identity and the decision of an event that got in."""
        verdict = self._notary.vouch(correlate(self._bindings, topic, body), NOW)
        if not isinstance(verdict, Resume) or (verdict.workflow, verdict.key) != (WORKFLOW, KEY):
            return None
        identity = verdict.event.identity
        raised = RaisedEvent(seq=1, identity=identity, name=verdict.event_name, received_at=NOW, data=verdict.payload)
        answer = decide(self._stage, raised)
        return (identity, answer) if isinstance(answer, Decision) else None
