"""Height and width of the images in an export: one size, a list of sizes, or any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sanp_export.environment import first_line
from sanp_export.named_outputs import check_outputs, named_outputs
from sanp_runtime.network.outputs import Output
from sanp_runtime.network.sizes import Size, in_words, text_of
from sanp_targets.errors import ExportError, SanpError

# How much larger the images are that show which sizes follow that of the image: networks ask for multiples of 32, or
# 64.
_MORE_PIXELS = 64


@dataclass(frozen=True)
class ExportOptions:
    """gates: "learned" keeps the saliency modules, "mask" lets the mask inputs alone decide (mask = scale).

    gate_outputs lists `gate.<layer>` as outputs; macs_output adds `macs` [N]. inline writes our operators out as
    standard ones, for runtimes without functions. dynamic_size leaves height and width of the images open; the layer
    table is that of the example. sizes does so for a list of (height, width) alone, the example's among them.
    """

    gates: Literal["learned", "mask"] = "learned"
    gate_outputs: bool = True
    macs_output: bool = False
    inline: bool = False
    dynamic_size: bool = False
    sizes: tuple[Size, ...] = ()

    @property
    def open_size(self) -> bool:
        """Whether height and width are open in the graph."""
        return self.dynamic_size or len(self.sizes) > 1

    @property
    def flag(self) -> str:
        """The option of the command line that opens them."""
        return "--dynamic-size" if self.dynamic_size else "--sizes"


def size_of(images: Tensor) -> Size:
    """(height, width) of images [N, C, H, W]."""
    return int(images.shape[2]), int(images.shape[3])


def check_options(choice: ExportOptions, example: Size) -> None:
    """ExportError for what needs one size beside an open one, and for a list without the example's size."""
    if choice.open_size and choice.macs_output:
        raise ExportError(
            f"the output macs counts for one size of the images, expected --macs or {choice.flag}; leave one of them "
            "out"
        )
    if choice.dynamic_size and choice.sizes:
        raise ExportError("--dynamic-size takes every size and --sizes a list, expected one of them; leave one out")
    if choice.sizes and (example not in choice.sizes or len(set(choice.sizes)) != len(choice.sizes)):
        raise ExportError(
            f"the sizes are {in_words(choice.sizes)}, expected each once and {text_of(example)} among them, which the "
            "example and the samples have; correct the list"
        )


def images_of(example_input: Tensor, choice: ExportOptions) -> list[Tensor]:
    """The example in every size whose layers have to be known; none where the graph tells them."""
    sizes = choice.sizes if len(choice.sizes) > 1 else (size_of(example_input),)
    return [resized(example_input, size) for size in sizes] if choice.open_size else []


def resized(images: Tensor, size: Size) -> Tensor:
    """Images [N, C, H, W] in another size, bilinear; the same tensor if they have it."""
    if size_of(images) == size:
        return images
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)


def of_open_size(
    model: nn.Module, example: Tensor, choice: ExportOptions, outputs: tuple[Output, ...], name: str
) -> tuple[Output, ...]:
    """The outputs, with None for sizes that follow that of the image; ExportError if another one is not taken."""
    if choice.dynamic_size:
        others = [functional.pad(example, (0, _MORE_PIXELS, 0, _MORE_PIXELS))]
    else:
        others = [resized(example, size) for size in choice.sizes if size != size_of(example)]
    for other in others:
        outputs = _in_both(outputs, _outputs_of(model, example, other, name, choice.flag), name, choice.flag)
    return outputs


def not_taken(name: str, own: Size, other: Size, error: BaseException, flag: str = "--sizes") -> ExportError:
    """The sentence for a network that fails on images of another size than its example's."""
    return ExportError(
        f"{name} takes images of {text_of(own)} and not of {text_of(other)} ({first_line(error)}), expected both; "
        f"export it without {flag}"
    )


def _outputs_of(model: nn.Module, example: Tensor, other: Tensor, name: str, flag: str) -> tuple[Output, ...]:
    try:
        with torch.no_grad():
            return check_outputs(named_outputs(model(other)), len(example), name)
    except SanpError:
        raise
    except Exception as error:  # networks check their sizes with errors of every type
        raise not_taken(name, size_of(example), size_of(other), error, flag) from error


def _in_both(outputs: tuple[Output, ...], found: tuple[Output, ...], name: str, flag: str) -> tuple[Output, ...]:
    pairs = [(one, two) for one, two in zip(outputs, found) if len(one.shape) == len(two.shape)]
    if len(pairs) != len(outputs) or len(found) != len(outputs):
        raise ExportError(f"{name} has other outputs for another size of the image; export it without {flag}")
    return tuple(
        Output(one.name, tuple(a if a == b else None for a, b in zip(one.shape, two.shape))) for one, two in pairs
    )
