"""The checks of a profile or a validation, also against an earlier one, and their JUnit file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sanp.pipeline.outputs import check_outputs
from sanp.regression.check import Check
from sanp.regression.junit import junit_xml
from sanp.regression.profiles import profile_checks
from sanp.regression.validations import level_checks, score_checks
from sanp.report.checks import check_each
from sanp.report.result_file import read_result
from sanp.settings.profile import ProfileSettings
from sanp.settings.validate import ValidateSettings
from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.measure.verdict import NOISY, THROTTLED
from sanp_runtime.profile.text import verdict_line
from sanp_targets.errors import SanpError


def read_baseline(kind: str, settings: ProfileSettings | ValidateSettings) -> dict[str, Any] | None:
    """The earlier result that the settings name, None without one; asked before the work begins.

    kind: "profile" or "validation". Raises InputError if it is none of that kind and schema, ConfigError if the JUnit
    file exists, unless `replace`.
    """
    if settings.junit is not None:
        check_outputs([settings.junit], settings.replace)
    found = read_result(settings.baseline)
    check_each({"profile": None, "validation": None, "training": None, kind: found})
    return found


def checks_of_profile(
    now: Mapping[str, Any], before: Mapping[str, Any] | None, settings: ProfileSettings
) -> list[Check]:
    """Whether it may be quoted, and, where there is a baseline that can be compared, whether it got slower.

    A measurement that may not be quoted is not compared either. `now`, `before`: JSON of profiles.
    """
    quotable = now["validity"]["verdict"] not in (NOISY, THROTTLED) or settings.allow_invalid
    checks = [Check("verdict", quotable, f"verdict {verdict_line(now)}")]
    if before is not None and quotable:
        quantity = settings.regression_of
        checks += _or_why_not(quantity, lambda: profile_checks(now, before, settings.max_regression, quantity))
    return checks


def checks_of_validation(
    now: Mapping[str, Any], before: Mapping[str, Any] | None, settings: ValidateSettings
) -> list[Check]:
    """The levels, and, where there is a baseline, whether accuracy was lost; `now`, `before`: JSON of validations."""
    checks = level_checks(now)
    if before is not None:
        checks += _or_why_not(now["L2"]["kind"], lambda: score_checks(now, before, settings.max_regression))
    return checks


def _or_why_not(name: str, compare: Callable[[], list[Check]]) -> list[Check]:
    """What a comparison found, or a failed check with what stood in its way: a server must see that, too."""
    try:
        return compare()
    except SanpError as error:
        return [Check(name, False, str(error), error)]


def write_junit(verb: str, result: Mapping[str, Any], checks: Sequence[Check], path: Path | None) -> None:
    """Write the checks of a result to `path`, if there is one."""
    if path is not None:
        seconds = float(result.get("elapsed_s", 0.0))
        write_atomically(path, junit_xml(f"sanp {verb}", result["bundle"]["name"], checks, seconds))
