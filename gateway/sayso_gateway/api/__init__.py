"""The HTTP API: requests and decisions become events; what became of them is read from the ledger, which nothing here writes."""
