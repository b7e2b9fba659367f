"""`info`: what a bundle is, whether its files are intact, and what this machine is."""

from __future__ import annotations

import argparse
from typing import Any

from sanp_runtime.bundle import budgets
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.cli.arguments import add_command, print_result
from sanp_runtime.network.blocks import blocks_note
from sanp_runtime.network.outputs import in_words
from sanp_runtime.network.sizes import text_of
from sanp_runtime.profile.tuning_note import tuning_note
from sanp_targets.device import describe, fingerprint


def add(commands: Any) -> None:
    """Register the command."""
    add_command(commands, "info", run, "show what a bundle is and what this machine is")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    bundle, device = open_bundle(arguments.bundle), fingerprint()
    manifest = bundle.manifest
    row = {"digest": bundle.digest(), "manifest": manifest.to_json(), "device": device}
    followers = len(manifest.masked) - len(manifest.gated)
    follow = f" and {followers} following" if followers else ""
    shape = "x".join(str(size) for size in manifest.input["shape"])
    lines = [
        f"{manifest.name}: {shape} to {in_words(manifest.outputs)}, {manifest.dense_macs / 1e6:.1f} M MACs dense",
        f"{len(manifest.gated)} gated{follow} of {len(manifest.layers)} layers, for {manifest.target['name']}, with "
        f"the variants {', '.join(manifest.all_variants)}",
        f"made {manifest.created} with {', '.join(f'{name} {version}' for name, version in manifest.made_by.items())}",
        f"content {bundle.digest()[:16]}, {len(manifest.files)} files verified",
        f"this machine: {describe(device)}",
    ]
    fused = blocks_note(len(manifest.blocks))
    lines[2:2] = [fused] if fused else []
    if manifest.sizes:
        costs = [f"{text_of(at)} ({manifest.at(at).dense_macs / 1e6:.1f} M MACs dense)" for at in manifest.image_sizes]
        lines.insert(1, f"images of {', '.join(costs)}")
    lines += budgets.lines(manifest.build.get("budgets", {}), manifest.dense_macs)
    note = tuning_note(manifest.options, device, None)
    lines += [note] if note else []
    print_result(arguments, row, lines)
