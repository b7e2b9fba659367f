"""Hold the conditions of a measurement: a power mode and fixed clocks, both set back when the block is left."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional

from sanp_targets.controls import cpufreq, jetson_clocks, nvpmodel
from sanp_targets.controls.command import TIMEOUT_S, find
from sanp_targets.controls.stoppable import stoppable, undisturbed
from sanp_targets.errors import SanpError
from sanp_targets.power_mode import describe_power_mode
from sanp_targets.pseudo_files import Root, read

# The longest that setting back takes, in seconds: two tools, one after the other.
RESTORE_S = 2 * TIMEOUT_S


@dataclass
class Held:
    """What is held. power_mode: that which is active within the block, None on a machine without power modes.

    before: name of the mode that is set back, None if it was not changed. clocks: who fixed them, None if nobody did.
    problems: a sentence for each thing that could not be set back; complete once the block has been left.
    """

    power_mode: Optional[Dict[str, Any]] = None
    before: Optional[str] = None
    clocks: Optional[str] = None
    problems: List[str] = field(default_factory=list)

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON: `power_mode` (id, name, names, before) or None, `controls` (clocks_fixed_by, not_restored)."""
        mode = None if self.power_mode is None else {**self.power_mode, "before": self.before}
        controls = {"clocks_fixed_by": self.clocks, "not_restored": list(self.problems)}
        return {"power_mode": mode, "controls": controls}


@contextlib.contextmanager
def held(power_mode: Optional[str] = None, fix_clocks: bool = False, root: Root = "/") -> Iterator[Held]:
    """Run the block in a power mode, by its name, and with fixed clocks, as far as that is asked for.

    Everything is set back at the end, also after an exception, Ctrl-C, SIGTERM and SIGHUP. What cannot be set back is a
    sentence on standard error and in `Held.problems`: the measurement is not lost by it. Raises TargetError where a
    machine has no such control or does not let it be used, ConfigError for a power mode that it does not have.
    """
    found = Held()
    if power_mode is None and not fix_clocks:
        found.power_mode = describe_power_mode(root)
        yield found
        return
    backs: List[Callable[[], None]] = []
    with stoppable() as stop:
        try:
            if power_mode is not None:
                found.before = (describe_power_mode(root) or {}).get("name")
                _change(backs, *nvpmodel.change(power_mode, root))
            if fix_clocks:  # after the mode, whose limits they are
                on_jetson = read(root, "etc/nv_tegra_release") is not None and find(jetson_clocks.TOOL) is not None
                _change(backs, *(jetson_clocks.change() if on_jetson else cpufreq.change(root)))
                found.clocks = jetson_clocks.TOOL if on_jetson else "cpufreq"
            found.power_mode = describe_power_mode(root)
            yield found
        finally:
            stop.ending = True
            with undisturbed():
                for back in reversed(backs):
                    _put_back(found, back)


def _change(backs: List[Callable[[], None]], forth: Callable[[], None], back: Callable[[], None]) -> None:
    """Going back is arranged before going forth, which may stop half-way."""
    backs.append(back)
    forth()


def _put_back(found: Held, back: Callable[[], None]) -> None:
    try:
        back()
    except (SanpError, OSError) as error:
        found.problems.append(str(error))
        print(f"the machine was not set back: {error}", file=sys.stderr)
