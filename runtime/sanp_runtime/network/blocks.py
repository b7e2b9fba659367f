"""Inverted residual blocks that are one node: how the three layers are called together, and how many there are."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

Blocks = Mapping[str, Sequence[str]]  # node -> expansion, depthwise layer, projection


def title_of(layers: Sequence[str]) -> str:
    """What stands for several layers in a table: "features.2.conv (0, 3, 6)", or a single one as it is."""
    if len(layers) == 1:
        return layers[0]
    parts = [name.split(".") for name in layers]
    shared = 0
    while all(len(part) > shared + 1 for part in parts) and len({part[shared] for part in parts}) == 1:
        shared += 1
    ends = [".".join(part[shared:]) for part in parts]
    return f"{'.'.join(parts[0][:shared])} ({', '.join(ends)})" if shared else " + ".join(ends)


def inside(blocks: Blocks) -> "set[str]":
    """All layers of all blocks."""
    return {layer for layers in blocks.values() for layer in layers}


def blocks_note(count: int) -> Optional[str]:
    """A sentence about so many blocks; None for none."""
    if not count:
        return None
    blocks = "1 inverted residual block is" if count == 1 else f"{count} inverted residual blocks are"
    return f"{blocks} one node each: expansion, depthwise layer and projection have one time together"
