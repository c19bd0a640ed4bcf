"""Workflows. They import contracts, policy, gate and the workflow SDK: no clock, random, environment or I/O (DESIGN §3.9)."""
