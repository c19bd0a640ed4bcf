"""Contracts: every shape that crosses a process boundary. Pure data, no I/O."""
