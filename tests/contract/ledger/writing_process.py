"""A process that receives messages on several threads and prints each number after its commit, until it is killed. Arguments: URL."""

from __future__ import annotations

import sys
import threading
from functools import partial
from itertools import count

from sayso.ledger import Ledger
from sayso.ledger.intake import receive

ledger = Ledger(sys.argv[1])
numbers = count()
saying = threading.Lock()


def write() -> None:
    for number in numbers:
        ledger.transact(partial(receive, topic="purchases", original=b"message %d" % number))
        with saying:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


threads = [threading.Thread(target=write) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
