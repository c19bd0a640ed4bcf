"""Fault runs: the real parts under load, killed, paused and cut off at seeded moments, then judged by the checker (`make faults`)."""
