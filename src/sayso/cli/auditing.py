"""What `sayso audit verify` does: read key and anchors, walk the chain, say what is wrong."""

from __future__ import annotations

from pathlib import Path

from sayso.cli.output import ago, out, print_json, printable, say
from sayso.errors import ConfigurationError
from sayso.ledger import read_ledger_id
from sayso.ledger.audit_key import NO_KEY, load_audit_key
from sayso.ledger.verifying import Verdict, anchors_in, lines_of, verify, was_sealed
from sayso.stack_address import find_stack

LOGS = ("subscribers.log.1", "subscribers.log")


def verify_chain(files: list[Path], *, as_json: bool) -> int:
    """Verify and print; returns the exit code."""
    stack = find_stack()
    absent = [path for path in files if not path.is_file()]
    if absent:
        raise ConfigurationError(f"{absent[0]}: no such file of anchors")
    ledger = stack.ledger()
    try:
        ledger_id = read_ledger_id(ledger)
        logs = [stack.settings.state_dir / "logs" / name for name in LOGS]
        anchors = anchors_in(lines_of([*logs, *files]), ledger_id)
        sealed = ledger.read(was_sealed)
        key = load_audit_key(stack.settings, may_create=False) if anchors or sealed else NO_KEY
        verdict = verify(ledger, key, ledger_id, anchors)
    finally:
        ledger.close()
    if as_json:
        print_json(verdict)
    else:
        _print(verdict)
    return 1 if verdict.findings else 0


def _print(verdict: Verdict) -> None:
    console = out()
    for finding in verdict.findings:
        console.print(printable(finding.what), markup=False)
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
