"""Options of `polygraphy run` that choose our runners, in the form that Polygraphy's own have."""

from __future__ import annotations

from typing import Any

from polygraphy.logger import G_LOGGER
from polygraphy.tools.args import util as args_util
from polygraphy.tools.args.base import BaseRunnerArgs
from polygraphy.tools.script import make_invocable


class BundleRunnerArgs(BaseRunnerArgs):
    """SANP Bundle: inference with a compiled bundle."""

    def get_name_opt_impl(self) -> tuple[str, str]:
        """What it is, and the option that chooses it."""
        return "a SANP bundle", "sanp"

    def add_parser_args_impl(self) -> None:
        """Add its other options."""
        self.group.add_argument("--sanp-bundle", help="The bundle, as `sanp compile` wrote it", default=None)
        self.group.add_argument(
            "--sanp-variant",
            help="Which network of the bundle: gated, open or dense. Defaults to the network as trained",
            default=None,
        )
        self.group.add_argument("--sanp-threads", help="Threads of the engine. Defaults to 1", type=int, default=None)

    def parse_impl(self, args: Any) -> None:
        """Take them from the parsed arguments."""
        self.bundle = args_util.get(args, "sanp_bundle")
        self.variant = args_util.get(args, "sanp_variant")
        self.threads = args_util.get(args, "sanp_threads")

    def add_to_script_impl(self, script: Any) -> None:
        """Add the runner to the script that Polygraphy runs."""
        if self.bundle is None:
            G_LOGGER.critical("--sanp runs a bundle, and none was given: name it with --sanp-bundle")
        script.add_import(imports=["BundleRunner"], frm="sanp.polygraphy_plugin.runners")
        script.add_runner(make_invocable("BundleRunner", self.bundle, variant=self.variant, threads=self.threads))


class TorchRunnerArgs(BaseRunnerArgs):
    """SANP PyTorch: inference with the network of a checkpoint in PyTorch."""

    def get_name_opt_impl(self) -> tuple[str, str]:
        """What it is, and the option that chooses it."""
        return "the PyTorch network of a SANP checkpoint", "sanp-torch"

    def add_parser_args_impl(self) -> None:
        """Add its other options."""
        self.group.add_argument("--sanp-checkpoint", help="The checkpoint, as `sanp train` wrote it", default=None)

    def parse_impl(self, args: Any) -> None:
        """Take them from the parsed arguments."""
        self.checkpoint = args_util.get(args, "sanp_checkpoint")

    def add_to_script_impl(self, script: Any) -> None:
        """Add the runner to the script that Polygraphy runs."""
        if self.checkpoint is None:
            G_LOGGER.critical("--sanp-torch runs a checkpoint, and none was given: name it with --sanp-checkpoint")
        script.add_import(imports=["TorchRunner"], frm="sanp.polygraphy_plugin.runners")
        script.add_runner(make_invocable("TorchRunner", self.checkpoint))
