"""Results of a run as one page for people (report.html) and one file for machines (report.json)."""

from __future__ import annotations

from sanp.report.writer import write_report

__all__ = ["write_report"]
