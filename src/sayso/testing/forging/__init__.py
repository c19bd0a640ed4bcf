"""Forged decisions, for the suite, the proof and the running stack."""
