"""Clocks, temperatures and throttle counters. A sensor that cannot be read is listed as missing, never as zero."""

from sanp_targets.sensors.gpu import gpu_governor
from sanp_targets.sensors.reading import Reading, clock_drop, gpu_clock_range, throttle_events
from sanp_targets.sensors.registry import read_sensors

__all__ = ["Reading", "clock_drop", "gpu_clock_range", "gpu_governor", "read_sensors", "throttle_events"]
