"""Settings of `sanp export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from sanp.settings.base import Settings
from sanp.settings.train import Option
from sanp_runtime.network.sizes import size_of
from sanp_targets.errors import InputError


def _from_text(value: Any) -> Any:
    """ "224x224,320x256" as [[224, 224], [320, 256]]; anything else as it is, to be checked."""
    rows = value.split(",") if isinstance(value, str) else value
    try:
        pairs = [size_of(row) if isinstance(row, str) else tuple(row) for row in rows]
        return tuple((height, width) for height, width in pairs)
    except (InputError, TypeError, ValueError) as error:
        raise ValueError("expected heights and widths such as 224x224,320x256") from error


# A height and a width of images, in pixels.
Pixels = Annotated[int, Field(ge=1, le=65_536)]
Sizes = Annotated[tuple[tuple[Pixels, Pixels], ...], BeforeValidator(_from_text)]


class ExportSettings(Settings):
    """[export]"""

    section: ClassVar[str] = "export"

    gates: Literal["learned", "mask"] = Field(
        "learned", description="learned: the network decides; mask: the mask inputs alone decide"
    )
    macs: bool = Field(False, description="add the output macs [N]: what each sample cost")
    inline: bool = Field(
        False, description="write our operators out as standard ones, for runtimes without functions; not for compile"
    )
    dynamic_size: bool = Field(False, description="leave height and width of the images open; only for ONNX Runtime")
    sizes: Sizes = Field(
        (),
        description="heights and widths that images may have, such as 224x224,320x256, that of the samples among them",
    )
    samples: int = Field(64, ge=0, le=100_000, description="test images whose PyTorch answers go beside the model")
    parent: Path | None = Field(
        None, description="checkpoint of the network before channels were removed, to measure beside this one"
    )
    data_root: Path | None = Field(None, description="folder of the data set, if it has moved since training")
    model: str | None = Field(None, description="package.module:factory of the network, if it has moved since training")
    model_args: dict[str, Option | None] = Field(
        default_factory=dict, description="arguments of the factory, in place of those in the checkpoint"
    )
    replace: bool = Field(False, description="replace an existing model")
