"""Whole networks: their shapes, graphs and masks, and what they cost; README.md names the commands."""
