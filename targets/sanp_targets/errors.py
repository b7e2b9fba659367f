"""Every error a person can meet, each with the exit code that the command line returns for it.

A message is one sentence in three parts: what was found (value, name, place), what was expected, what to do next.
The tree lives in the lowest package so that all the others can raise it.
"""

from __future__ import annotations


class SanpError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a bug."""

    exit_code = 2


class ConfigError(SanpError):
    """An option, a configuration key or an argument that cannot be used (exit code 2)."""


class InputError(SanpError):
    """A file or an array that is damaged, has the wrong type or the wrong shape (exit code 2)."""


class ExportError(SanpError):
    """A model that cannot be exported, and why (exit code 2)."""


class ValidationError(SanpError):
    """A comparison or an accuracy gate that failed (exit code 1)."""

    exit_code = 1


class TargetError(SanpError):
    """A target, a backend or a board that is unknown, not available here or cannot be reached (exit code 3)."""

    exit_code = 3


class AccelerationError(TargetError):
    """A gated node that would not run in our kernel: a slow success is treated as a failure (exit code 3)."""


class MeasurementError(SanpError):
    """A measurement that must not be quoted: throttled or too noisy (exit code 4)."""

    exit_code = 4


class TrainingInterrupted(SanpError):
    """Training was stopped by a signal after its state was saved (exit code 130)."""

    exit_code = 130
