"""A process that prunes everything, two cases a batch, and says so after each batch, until it is killed. Arguments: URL."""

from __future__ import annotations

import sys

import sayso.prune
from sayso.ledger import Ledger

sayso.prune.BATCH = 2
ledger = Ledger(sys.argv[1])
for done in sayso.prune.prune(ledger, None, 4_102_444_800_000, actor="alice"):
    sys.stdout.write(f"{done.pruned.cases}\n")
    sys.stdout.flush()
ledger.close()
