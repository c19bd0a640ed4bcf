"""`python -m sayso.schemas docs/`: write every generated document below that folder."""

from __future__ import annotations

import sys
from pathlib import Path

from sayso.schemas.documents import write_documents

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m sayso.schemas FOLDER")
    for path in write_documents(Path(sys.argv[1]), Path("config/bindings.yaml")):
        sys.stdout.write(f"{path}\n")
