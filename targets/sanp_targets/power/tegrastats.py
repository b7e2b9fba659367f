"""The lines of tegrastats: rails in milliwatts, temperatures, clock and load of the GPU.

    [date] RAM u/tMB ... CPU [p%@MHz,...|off] EMC_FREQ p%[@MHz] GR3D_FREQ <gpu> ... name@T C ... RAIL now/average[/most]

Three things vary: JetPack 4 writes plain numbers (`VDD_IN 5832/5852`), 5 and 6 `5832mW/5852mW`, 7 adds the highest
(`5832mW/5852mW/6000mW`). The GPU is `12%`, `12%@612`, `12%@[612,611]`, `@[972]` without a load, or is not there (Thor).
Temperatures are `cpu@51.3C`, with a second number on JetPack 7; -256C is a sensor that is switched off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Optional

_RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]+)\s+(\d+)(?:mW)?/(\d+)(?:mW)?(?:/\d+(?:mW)?)?(?!\S)")
_TEMPERATURE = re.compile(r"(?<!\S)([A-Za-z][\w-]*)@(-?\d+(?:\.\d+)?)C(?:/-?\d+(?:\.\d+)?C)?(?!\S)")
_GPU = re.compile(r"\bGR3D_FREQ\s+(?:(\d+)%)?(?:@\[?(\d+))?")
_NOT_A_RAIL = ("NC",)
_OFF_C = -200.0


@dataclass(frozen=True)
class Line:
    """rails_mw: rail -> milliwatts now; temperature_c: sensor -> degrees; the GPU: load in percent and clock in MHz."""

    rails_mw: Dict[str, float] = field(default_factory=dict)
    temperature_c: Dict[str, float] = field(default_factory=dict)
    gpu_load: Optional[int] = None
    gpu_mhz: Optional[int] = None


def parse(text: str) -> Line:
    """What one line says; empty for a line that is none of tegrastats.

    The value now is taken, not the average, which tegrastats forms since its start.
    """
    if "RAM " not in text and "CPU [" not in text:
        return Line()
    gpu = _GPU.search(text)
    load, clock = (gpu.group(1), gpu.group(2)) if gpu else (None, None)
    temperatures = {name: float(value) for name, value in _TEMPERATURE.findall(text)}
    return Line(
        rails_mw={name: float(now) for name, now, _ in _RAIL.findall(text) if name not in _NOT_A_RAIL},
        temperature_c={name: value for name, value in temperatures.items() if value > _OFF_C},
        gpu_load=int(load) if load is not None else None,
        gpu_mhz=int(clock) if clock is not None else None,
    )
