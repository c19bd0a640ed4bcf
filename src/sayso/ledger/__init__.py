"""The ledger: the SQL tables that hold events, cases, approval tasks, outbox and audit."""

from sayso.ledger.database import Ledger, Transaction
from sayso.ledger.opening import open_ledger, read_ledger_id

__all__ = ["Ledger", "Transaction", "open_ledger", "read_ledger_id"]
