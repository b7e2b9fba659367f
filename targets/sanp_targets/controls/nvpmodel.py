"""The power mode of a Jetson, by its name: the numbers differ between modules and between releases of JetPack."""

from __future__ import annotations

import difflib
from typing import Callable, Tuple

from sanp_targets.controls.command import find, run
from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.power_mode import active_mode, power_modes
from sanp_targets.pseudo_files import Root

TOOL = "nvpmodel"


def number_of(name: str, root: Root = "/") -> int:
    """The number of a mode; TargetError on a machine without modes, ConfigError for a name that it does not have."""
    modes = power_modes(root)
    if find(TOOL) is None or not modes:
        raise TargetError(
            f"the power mode {name!r} was asked for, but this machine has no {TOOL}, expected a Jetson with "
            "/etc/nvpmodel.conf; leave out --power-mode"
        )
    for number, known in modes.items():
        if known.lower() == name.lower():
            return number
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in modes.values()], n=1, cutoff=0.5)
    original = next((known for known in modes.values() if near and known.lower() == near[0]), None)
    raise ConfigError(
        f"there is no power mode {name!r}, expected one of {', '.join(modes.values())}; "
        f"{f'did you mean {original!r}?' if original else 'choose one of them'}"
    )


def set_mode(number: int, root: Root = "/") -> None:
    """Make a mode the active one; TargetError if it is not the active one afterwards."""
    if active_mode(root) == number:
        return
    run([str(find(TOOL)), "-m", str(number)])
    now, modes = active_mode(root), power_modes(root)
    if now != number:
        names = [modes.get(mode, "unknown") if mode is not None else "unknown" for mode in (now, number)]
        raise TargetError(
            f"the power mode is {names[0]} after {TOOL} -m {number}, expected {names[1]}: this change needs a restart; "
            f"run `sudo {TOOL} -m {number}` yourself, let it restart the board, and measure again"
        )


def change(name: str, root: Root = "/") -> Tuple[Callable[[], None], Callable[[], None]]:
    """Functions that set the mode of this name, and the one that is active now; the errors of `number_of`."""
    number, before = number_of(name, root), active_mode(root)
    if before is None:
        raise TargetError(
            f"the active power mode is not known (/var/lib/nvpmodel/status), so it could not be set back, expected a "
            f"number there; run `sudo {TOOL} -q` once"
        )
    back = before
    return lambda: set_mode(number, root), lambda: set_mode(back, root)
