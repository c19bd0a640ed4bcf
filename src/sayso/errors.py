"""The errors of Sayso, divided by what the caller does with them.

In: nothing. Out: one root, four subclasses (and one that a workflow must tell from the others). A rejected or expired approval is a
result, not an error.
"""

from __future__ import annotations


class SaysoError(Exception):
    """Root of every error that Sayso raises on purpose; its text is written for a person."""

    exit_code = 1


class MalformedError(SaysoError):
    """The input can never be understood: the event is rejected with this reason, never retried."""

    exit_code = 3


class RefusedError(SaysoError):
    """The input is understood and not allowed: dead letter and audit, never retried."""

    exit_code = 4


class TransientError(SaysoError):
    """The attempt failed for now (broker, sidecar, database, network): try again later."""

    exit_code = 5


class EffectFailedError(TransientError):
    """The service that an activity asked did not do it, or did not say so; the text is the service's own words."""


class ConfigurationError(SaysoError):
    """A file, setting or tool is wrong or missing: do not start; the text says what to change."""

    exit_code = 2
