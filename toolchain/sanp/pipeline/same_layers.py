"""Whether the exported file counts the layers that training counted, with the same supports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from sanp.data.batch import Batch
from sanp.gating.forward import tell
from sanp.tracing.layer_table import layer_table
from sanp.tracing.trace import trace
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import AnyOf, Concat, Support
from sanp_targets.errors import ConfigError, ExportError


def check_same_layers(model: nn.Module, example: Tensor, exported: Sequence[Layer]) -> None:
    """Raise ExportError, naming the layers, if the MACs of the file would not be those that a budget was met with.

    A network that torch.fx cannot trace was not trained with our costs, and is not compared.
    """
    try:
        tell(model, Batch.example(example))
        tracked = layer_table(trace(model, example))
    except ConfigError:
        return
    # A layer without gates may have another name in the file, so it is known by what it computes.
    ours, theirs = Counter(map(_identity, tracked)), Counter(map(_identity, exported))
    differences = [
        *(f"{_describe(row)} in PyTorch only" for row in tracked if _identity(row) not in theirs),
        *(f"{_describe(row)} in the file only" for row in exported if _identity(row) not in ours),
        *(f"{_describe(row)}, {ours[row]} times in PyTorch and {theirs[row]} times in the file"
          for row in ours if row in theirs and ours[row] != theirs[row]),
    ]  # fmt: skip
    if differences:
        shown = "; ".join(differences[:4]) + ("; ..." if len(differences) > 4 else "")
        raise ExportError(
            f"{type(model).__name__}: training and the exported file count different layers or inputs ({shown}), "
            "expected the same MACs on both sides; replace the operation before or in the named layer by a standard "
            "module (nn.Conv2d, nn.Linear, nn.ReLU), or report the operation"
        )


def _identity(row: Layer) -> Layer:
    row = replace(row, support=_sorted(row.support))
    return row if row.masked else replace(row, name="")


def _sorted(support: Support) -> Support:
    """With the parts of every any-of in one order: a sum is the same whichever operand comes first."""
    if isinstance(support, AnyOf):
        return AnyOf(tuple(sorted(map(_sorted, support.parts), key=repr)))
    return Concat(tuple(map(_sorted, support.parts))) if isinstance(support, Concat) else support


def _describe(row: Layer) -> str:
    kind = f"{row.c_in}->{row.c_out} {row.kernel[0]}x{row.kernel[1]} on {row.out_hw[0]}x{row.out_hw[1]}"
    return f"{row.name or 'layer'} ({kind}, input {row.support})"
