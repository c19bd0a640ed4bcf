"""What `sayso audit` does: read key and anchors, walk the chain, say what is wrong; anchor it; write down one case for an auditor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sayso.cli.case_page import Reference, the_case
from sayso.cli.output import ago, out, print_json, printable, say
from sayso.errors import ConfigurationError, MalformedError
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.audit_key import NO_KEY, AuditKey, load_audit_key
from sayso.ledger.case_export import FORMAT, export_case, findings_in
from sayso.ledger.sealing import anchor_chain, chain_head
from sayso.ledger.verifying import Finding, Verdict, anchors_in, lines_of, verify, was_sealed
from sayso.stack_address import StackAddress, find_stack

LOGS = ("subscribers.log.1", "subscribers.log")


def verify_chain(files: list[Path], *, as_json: bool) -> int:
    """Verify and print; returns the exit code."""
    stack = find_stack()
    absent = [path for path in files if not path.is_file()]
    if absent:
        raise ConfigurationError(f"{absent[0]}: no such file of anchors")
    with _ledger(stack) as ledger:
        verdict = _verified(stack, ledger, files)
    if as_json:
        print_json(verdict)
    else:
        _print(verdict)
    return 1 if verdict.findings else 0


def verify_export(file: Path, *, as_json: bool) -> int:
    """Check an export with the key alone, without the ledger; returns the exit code."""
    key = load_audit_key(find_stack().settings, may_create=False)
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise MalformedError(f"{file}: its format is not {FORMAT}")
        findings = list(findings_in(document, key))
        entries = [entry for entry in document["audit"] if entry["number"] is not None]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MalformedError(f"{file}: this is no export of a case: {error}") from error
    if as_json:
        print_json({"entries": len(entries), "findings": findings})
    else:
        _print_findings(findings)
        out().print(f"{len(entries)} audit entries and {len(document['events'])} events of {printable(document['case']['key'])}")
        say(("the export was changed", "bold red") if findings else ("the export is as it was made", "green"))
    return 1 if findings else 0


def anchor(*, publish: bool, as_json: bool) -> int:
    """Verify, then say how far the chain has come, or publish it; returns the exit code."""
    stack = find_stack()
    with _ledger(stack) as ledger:
        verdict = _verified(stack, ledger, [])
        ledger_id = read_ledger_id(ledger)
        head = ledger.read(chain_head)
        if verdict.findings or head is None:
            _print(verdict)
            return 1
        published = publish and ledger.transact(partial(anchor_chain, ledger_id=ledger_id, interval_ms=0)) is not None
    if as_json:
        print_json({"ledger": ledger_id, "number": head.number, "seal": head.seal, "published": published})
    else:
        out().print(f"audit anchor ledger={ledger_id} number={head.number} seal={head.seal}", markup=False)
        if publish:
            say("it goes to the topic audit-anchors" if published else "the topic audit-anchors has it already")
    return 0


def export(reference: Reference, file: Path | None) -> int:
    """Write one case down for an auditor; returns the exit code."""
    stack = find_stack()
    with _ledger(stack) as ledger:
        ledger_id = read_ledger_id(ledger)
        key = _key_if_any(stack, ledger)
        document = ledger.read(lambda tx: export_case(tx, the_case(tx, reference), ledger_id, key))
    if key is None:
        say(("it has no seal of its own", "yellow"), ": the audit key is not here")
    if file is None:
        print_json(document)
        return 0
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    say(f"{len(document['audit'])} audit entries and {len(document['events'])} events in {printable(file)}; ", "")
    say("check it anywhere, with the audit key: sayso audit verify --export FILE")
    return 0


@contextmanager
def _ledger(stack: StackAddress) -> Iterator[Ledger]:
    ledger = stack.ledger()
    try:
        yield ledger
    finally:
        ledger.close()


def _verified(stack: StackAddress, ledger: Ledger, files: list[Path]) -> Verdict:
    ledger_id = read_ledger_id(ledger)
    logs = [stack.settings.state_dir / "logs" / name for name in LOGS]
    anchors = anchors_in(lines_of([*logs, *files]), ledger_id)
    sealed = ledger.read(was_sealed)
    key = load_audit_key(stack.settings, may_create=False) if anchors or sealed else NO_KEY
    return verify(ledger, key, ledger_id, anchors)


def _key_if_any(stack: StackAddress, ledger: Ledger) -> AuditKey | None:
    try:
        return load_audit_key(stack.settings, may_create=False) if ledger.read(was_sealed) else None
    except ConfigurationError:
        return None


def _print_findings(findings: tuple[Finding, ...] | list[Finding]) -> None:
    for finding in findings:
        out().print(printable(finding.what), markup=False)


def _print(verdict: Verdict) -> None:
    console = out()
    _print_findings(verdict.findings)
    console.print(f"{verdict.sealed} entries sealed, compared with {verdict.anchors} anchors", markup=False)
    if verdict.unsealed_since is not None:
        waiting = f"{verdict.unsealed} entries are not sealed yet, the oldest from {ago(verdict.unsealed_since)}"
        console.print(f"{waiting}; the subscribers seal them within a second", markup=False)
    if verdict.findings:
        say(("the audit log was changed", "bold red"))
    elif not verdict.sealed:
        say(("nothing was sealed yet, so nothing can be verified", "yellow"))
    else:
        say(("the audit chain is whole", "green"))
