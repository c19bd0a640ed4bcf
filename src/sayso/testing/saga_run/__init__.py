"""Saga runs: many sagas in flight on a real stack, failing at seeded places, and the worker killed between their steps."""
