"""Power of the rails of a machine, and the energy in a window of time."""

from sanp_targets.power.meters import Meter, NoPower, find_meter
from sanp_targets.power.sampler import Trace, sampling

__all__ = ["NoPower", "Meter", "Trace", "find_meter", "sampling"]
