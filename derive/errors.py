"""The error of the index language: one message with the place."""

from __future__ import annotations


class DefinitionError(ValueError):
    """A definition that the language does not take, or that cannot be right for all sizes."""
