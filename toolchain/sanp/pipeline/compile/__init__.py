"""Exported model to bundle."""
