"""Devices as data: what a target is, what this machine is, and the sensors it has. Standard library only."""
