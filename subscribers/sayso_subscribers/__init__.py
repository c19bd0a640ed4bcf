"""The `subscribers` process: every topic into the ledger; its dispatcher starts and wakes workflows and publishes the outbox."""
