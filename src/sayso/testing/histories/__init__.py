"""Recorded histories: made on the real runtime by `python -m sayso.testing.histories`, replayed by tests against today's code."""
