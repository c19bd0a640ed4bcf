"""Correlation: which rule an event falls under, and which case it means."""
