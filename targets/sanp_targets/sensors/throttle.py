"""Signs that a machine slows its processor down; each board has its own, so every source is a row of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Optional, Tuple

from sanp_targets.pseudo_files import Root, paths, read, read_int
from sanp_targets.sensors.quota import cpu_limit, quota_counters

Values = Dict[str, Optional[int]]

_FIRMWARE = "sys/devices/platform/soc*/soc*firmware/get_throttled"
_NOW, _SINCE_BOOT = 0xF, 16  # the low bits are what the firmware does now, the same bits above what it has done


def _nothing(root: Root) -> Values:
    return {}


@dataclass(frozen=True)
class Source:
    """name: for people; here: whether machines of this kind have it.

    counters: only grow, and growing means an intervention. levels: what is done now, 0 = nothing.
    """

    name: str
    here: Callable[[Root], bool]
    counters: Callable[[Root], Values] = _nothing
    levels: Callable[[Root], Values] = _nothing


def throttle_counters(root: Root) -> Dict[str, int]:
    """Name -> value of everything that rises when the machine is throttled."""
    return _known(source.counters(root) for source in SOURCES)


def throttle_levels(root: Root) -> Dict[str, int]:
    """Name -> how strongly the machine slows its processor down now, 0 = not at all."""
    return _known(source.levels(root) for source in SOURCES)


def unread_sources(root: Root) -> Tuple[str, ...]:
    """The sources that a machine of this kind has, and of which nothing can be read."""
    return tuple(
        source.name
        for source in SOURCES
        if source.here(root) and not _known((source.counters(root), source.levels(root)))
    )


def _known(found: Iterable[Values]) -> Dict[str, int]:
    return {name: value for row in found for name, value in row.items() if value is not None}


def _always(root: Root) -> bool:
    return True


def _may_have_a_quota(root: Root) -> bool:
    """Whether the kernel may stop this process, or does not say so."""
    return read(root, "proc/self/cgroup") is None or cpu_limit(root) is not None


def _is_x86(root: Root) -> bool:
    return "vendor_id" in (read(root, "proc/cpuinfo") or "")


def _model(root: Root) -> str:
    return read(root, "proc/device-tree/model") or read(root, "sys/firmware/devicetree/base/model") or ""


def _is_jetson(root: Root) -> bool:
    return "Jetson" in _model(root) or read(root, "etc/nv_tegra_release") is not None


def _is_raspberry_pi(root: Root) -> bool:
    return "Raspberry Pi" in _model(root) or bool(paths(root, _FIRMWARE))


def _x86_thermal(root: Root) -> Values:
    files = paths(root, "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
    return {"/".join(path.split("/")[4::2]): read_int(root, path) for path in files}


def _jetson_over_current(root: Root) -> Values:
    files = paths(root, "sys/class/hwmon/hwmon*/oc*_event_cnt")
    return {"/".join(path.split("/")[3:]): read_int(root, path) for path in files}


def _processor_cooling(root: Root) -> Values:
    """Levels of the cooling devices that slow a processor; not the fans, which are cooling devices too."""
    levels: Values = {}
    for folder in paths(root, "sys/class/thermal/cooling_device*"):
        kind = read(root, f"{folder}/type") or ""
        if "cpufreq" in kind or kind == "Processor":
            levels[f"{kind}/{folder.rsplit('device', 1)[1]}"] = read_int(root, f"{folder}/cur_state")
    return levels


def _firmware(root: Root) -> Optional[int]:
    found = [read_int(root, path, 16) for path in paths(root, _FIRMWARE)]
    return next((value for value in found if value is not None), None)


def _firmware_since_boot(root: Root) -> Values:
    bits = _firmware(root)
    return {} if bits is None else {"firmware/get_throttled since boot": bits >> _SINCE_BOOT}


def _firmware_now(root: Root) -> Values:
    """Under-voltage, capped frequency, throttled, soft temperature limit; and the alarm of the voltage monitor."""
    bits = _firmware(root)
    levels: Values = {} if bits is None else {"firmware/get_throttled now": bits & _NOW}
    for path in paths(root, "sys/class/hwmon/hwmon*/in0_lcrit_alarm"):
        if read(root, f"{path.rsplit('/', 1)[0]}/name") == "rpi_volt":
            levels["rpi_volt/in0_lcrit_alarm"] = read_int(root, path)
    return levels


SOURCES: Tuple[Source, ...] = (
    Source("thermal counters of the processor", _is_x86, counters=_x86_thermal),
    Source("over-current counters of the board", _is_jetson, counters=_jetson_over_current),
    Source("cooling levels of the processor", _always, levels=_processor_cooling),
    Source("firmware of the Raspberry Pi", _is_raspberry_pi, counters=_firmware_since_boot, levels=_firmware_now),
    Source("CPU quota of the container", _may_have_a_quota, counters=quota_counters),
)
