"""The sections of the page: `data` of a module makes what the template of its name shows, with words and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sanp.report.sections import (
    budgets,
    commands,
    device,
    energy,
    fold,
    gap,
    int8,
    latency,
    layers,
    prediction,
    proof,
    summary,
    training,
    validation,
    variants,
)


class Section(Protocol):
    """A module of this folder, with a template beside it."""

    __name__: str

    def data(self, results: Mapping[str, Any]) -> dict[str, Any] | None:
        """The variables of the template, None if the section is left out.

        results: as `write_report` takes them; KeyError if one lacks a field.
        """
        ...


# In the order of the page. A new section is a module, its template and a line here.
SECTIONS: tuple[Section, ...] = (
    summary,
    variants,
    latency,
    layers,
    gap,
    prediction,
    budgets,
    energy,
    fold,
    int8,
    validation,
    proof,
    training,
    device,
    commands,
)
