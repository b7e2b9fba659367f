"""The results that the tests of the report have."""

from __future__ import annotations

from tests.toolchain.report.conftest import measured, results

__all__ = ["measured", "results"]
