"""Two runners for `polygraphy run`: `--sanp`, a bundle, and `--sanp-torch`, the PyTorch network of a checkpoint."""

from __future__ import annotations

from typing import Any


def argument_groups() -> list[Any]:
    """What the entry point `polygraphy.run.plugins` returns: instances of Polygraphy's groups of arguments."""
    from sanp.polygraphy_plugin.arguments import BundleRunnerArgs, TorchRunnerArgs

    return [BundleRunnerArgs(), TorchRunnerArgs()]
