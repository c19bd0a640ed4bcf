"""Signatures: that a decision is provably from an entitled sender (ARCHITECTURE, invariant 12)."""
