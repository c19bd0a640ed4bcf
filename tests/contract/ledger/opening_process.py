"""A process that opens the ledger, says when it could begin, and prints its id. Arguments: URL."""

from __future__ import annotations

import sys

from sayso.ledger import open_ledger, read_ledger_id

sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.readline()
ledger = open_ledger(sys.argv[1])
sys.stdout.write(read_ledger_id(ledger))
ledger.close()
