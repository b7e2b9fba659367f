"""Set the conditions of a measurement, and set them back whatever happens."""

from sanp_targets.controls.held import Held, held

__all__ = ["Held", "held"]
