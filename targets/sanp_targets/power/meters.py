"""Where the power of a machine can be read, in order of preference, and which rail is the total."""

from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from sanp_targets.power import hwmon, pmic, rapl, tegrastats
from sanp_targets.pseudo_files import Root
from sanp_targets.sensors import nvml

POWER, ENERGY = "power", "energy"

# A rail that everything on the module comes through. Without one the rails are added up.
_TOTALS = ("VDD_IN", "VIN", "POM_5V_IN")
_TIMEOUT_S = 5.0


class NoPower(Exception):
    """No rail of this machine can be read; the message says why."""


@dataclass(frozen=True)
class Meter:
    """name: for people. kind: POWER, then `read` gives milliwatts, or ENERGY, then a counter in microjoules.

    stream: a command that prints a line whenever it has new values, instead of `read`; `parse` reads a line. ranges:
    counter -> value from which it goes on at zero. total: the rails that are added up to the total, and what is to be
    known about it.
    """

    name: str
    kind: str
    read: Callable[[], Mapping[str, float]]
    total: Tuple[str, ...]
    note: Optional[str] = None
    stream: Tuple[str, ...] = ()
    parse: Callable[[str], Mapping[str, float]] = field(default=lambda line: {})
    ranges: Mapping[str, Optional[int]] = field(default_factory=dict)


def find_meter(root: Root = "/", gpu: bool = False, interval_ms: int = 100) -> Meter:
    """The first meter that answers; gpu: the work is on a GPU, so on a PC its counter is meant.

    interval_ms: how often tegrastats is to print. Raises NoPower with the reason if nothing answers.
    """
    for candidate in (_jetson, _nvml if gpu else _nothing, _rapl, _raspberry_pi):
        found = candidate(root)
        if found is not None:
            return found
    found = _tegrastats(root, interval_ms)
    if found is not None:
        return found
    why = "no power monitor (INA3221, INA238), no counter (RAPL, NVML), no tegrastats and no vcgencmd was found"
    if rapl.is_hidden(root):
        why = "the counters of the processor (/sys/class/powercap) are shown to root alone; measure as root"
    raise NoPower(f"no power rail can be read on this machine: {why}")


def total_of(rails: Sequence[str]) -> Tuple[Tuple[str, ...], Optional[str]]:
    """The rails of a Jetson that make the total, and a note on it."""
    whole = next((name for name in _TOTALS if name in rails), None)
    if whole is not None:
        return (whole,), None
    note = "VIN_SYS_5V0 also feeds the carrier board" if "VIN_SYS_5V0" in rails else None
    return tuple(rails), note


def _nothing(root: Root) -> Optional[Meter]:
    return None


def _jetson(root: Root) -> Optional[Meter]:
    rails = hwmon.rails_mw(root)
    if not rails:
        return None
    total, note = total_of(list(rails))
    return Meter("INA3221 (hwmon)", POWER, lambda: hwmon.rails_mw(root), total, note)


def _nvml(root: Root) -> Optional[Meter]:
    counters = nvml.energy_mj(root)
    if not counters:
        return None
    return Meter(
        "NVML", ENERGY, lambda: _microjoules(root), tuple(counters), "the GPU alone, without the machine around it"
    )


def _microjoules(root: Root) -> Dict[str, float]:
    return {name: value * 1000.0 for name, value in nvml.energy_mj(root).items()}


def _rapl(root: Root) -> Optional[Meter]:
    packages = tuple(name for name in rapl.energy_uj(root) if name.startswith("package") and "/" not in name)
    if not packages:
        return None
    note = "processor packages: memory, disks and the power supply are not in them"
    return Meter("RAPL", ENERGY, lambda: rapl.energy_uj(root), packages, note, ranges=rapl.ranges_uj(root))


def _raspberry_pi(root: Root) -> Optional[Meter]:
    tool = shutil.which("vcgencmd") if str(root) == "/" else None
    rails = pmic.parse(_output([tool, "pmic_read_adc"])) if tool is not None else {}
    if tool is None or not rails:
        return None
    line = [tool, "pmic_read_adc"]
    note = "rails behind the power chip: its losses and the 5 V of USB devices are in none"
    return Meter("PMIC (vcgencmd)", POWER, lambda: pmic.parse(_output(line)), tuple(rails), note)


def _tegrastats(root: Root, interval_ms: int) -> Optional[Meter]:
    """For systems that show the monitors to tegrastats alone; it is started for one line to see its rails."""
    tool = shutil.which("tegrastats") if str(root) == "/" else None
    if tool is None:
        return None
    line = (tool, "--interval", str(interval_ms))
    rails = tegrastats.parse(_first_line(line)).rails_mw
    if not rails:
        return None
    total, note = total_of(list(rails))
    return Meter(
        "tegrastats", POWER, dict, total, note, stream=line, parse=lambda text: tegrastats.parse(text).rails_mw
    )


def _output(line: List[str]) -> str:
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _first_line(line: Sequence[str]) -> str:
    try:
        with subprocess.Popen(list(line), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            late = threading.Timer(_TIMEOUT_S, process.kill)
            late.start()
            try:
                assert process.stdout is not None
                return process.stdout.readline()
            finally:
                late.cancel()
                process.kill()
    except OSError:
        return ""
