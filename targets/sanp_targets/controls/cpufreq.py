"""Fix the clock of the processor: governor "performance", and the lowest clock as high as the highest."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Tuple

from sanp_targets.errors import TargetError
from sanp_targets.processor import is_virtual
from sanp_targets.pseudo_files import Root, paths, read

_POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
_GOVERNOR, _LOWEST, _HIGHEST = "scaling_governor", "scaling_min_freq", "scaling_max_freq"


def change(root: Root = "/") -> Tuple[Callable[[], None], Callable[[], None]]:
    """Functions that fix the clocks of all processors, and set them back as they are now.

    Raises TargetError where no clock can be fixed; so do the functions, naming the file that could not be written.
    """
    before: Dict[str, Dict[str, str]] = {}
    for folder in paths(root, _POLICIES):
        values = {name: read(root, f"{folder}/{name}") for name in (_GOVERNOR, _LOWEST, _HIGHEST)}
        before[folder] = {name: value for name, value in values.items() if value is not None}
    if not any(_GOVERNOR in values for values in before.values()):
        where = is_virtual(root) or "this system shows no cpufreq"
        raise TargetError(
            f"no clock can be fixed here ({where}), expected {_POLICIES} with a governor; measure without "
            "--fix-clocks, and fix the clock of the host"
        )
    return lambda: _fix(root, before), lambda: _restore(root, before)


def _fix(root: Root, before: Dict[str, Dict[str, str]]) -> None:
    for folder, values in before.items():
        offered = read(root, f"{folder}/scaling_available_governors")
        if offered is not None and "performance" not in offered.split():
            raise TargetError(
                f"{folder} offers the governors {offered}, expected performance among them; load its kernel module"
            )
        if _GOVERNOR in values:
            _write(root, f"{folder}/{_GOVERNOR}", "performance")
        if _LOWEST in values and _HIGHEST in values:
            _write(root, f"{folder}/{_LOWEST}", values[_HIGHEST])


def _restore(root: Root, before: Dict[str, Dict[str, str]]) -> None:
    """The lowest clock first: it may not be above the highest one. Every file is tried before an error is raised."""
    failed: List[TargetError] = []
    for folder, values in before.items():
        for name in (_LOWEST, _HIGHEST, _GOVERNOR):
            try:
                if name in values and read(root, f"{folder}/{name}") != values[name]:
                    _write(root, f"{folder}/{name}", values[name])
            except TargetError as error:
                failed.append(error)
    if failed:
        raise failed[0]


def _write(root: Root, path: str, value: str) -> None:
    try:
        (Path(root) / path).write_text(value, encoding="ascii")
    except OSError as error:
        raise TargetError(
            f"/{path} cannot be set to {value} ({error.strerror}), expected to be allowed to; run this command "
            "as root, or measure without --fix-clocks"
        ) from error
