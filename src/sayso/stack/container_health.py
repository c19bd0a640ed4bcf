"""The health check of a container: `python -m sayso.stack.container_health subscribers|worker|gateway|partners`.

In: the name of the process, DAPR_HTTP_PORT. Out: exit code 0 when it is ready; otherwise 1 and one line that says why not.
The same probes that `sayso up` waits for.
"""

from __future__ import annotations

import asyncio
import os
import sys

from sayso.stack.app_processes import GATEWAY_PORT, PARTNERS_PORT
from sayso.stack.probes import answer_of, http_ok
from sayso.stack.sidecar import sidecar_ready, worker_connected


def main(process: str) -> int:
    """Ask once."""
    dapr_port = int(os.environ.get("DAPR_HTTP_PORT", "3500"))
    probe = {
        "subscribers": sidecar_ready(dapr_port, frozenset()),
        "worker": worker_connected(dapr_port),
        "gateway": http_ok(GATEWAY_PORT, "/health"),
        "partners": http_ok(PARTNERS_PORT, "/health"),
    }[process]
    reason = asyncio.run(answer_of(probe))
    if reason:
        sys.stderr.write(f"{process}: {reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
