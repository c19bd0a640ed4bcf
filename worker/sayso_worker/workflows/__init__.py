"""Workflows. They import contracts, policy, gate and the workflow SDK: no clock, random, environment or I/O (invariant 9)."""
