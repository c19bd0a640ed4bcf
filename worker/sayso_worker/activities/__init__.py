"""Activities: effects at other services, each recorded in the ledger in one transaction."""
