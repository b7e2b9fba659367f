"""On-device self-test: the reference samples inside a bundle, or others beside it, through all three levels."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.bundle.reference import read_reference
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.validate.validation import Validation, compare


def self_test(
    bundle: Union[PathLike, Bundle],
    options: Optional[EngineOptions] = None,
    metric: Optional[str] = None,
    *,
    reference: Optional[PathLike] = None,
    relative: float = 0.99,
    max_drop: Optional[float] = None,
) -> Validation:
    """`compare` a bundle with its own reference.npz; InputError if it has none.

    reference: another file of that form, with samples that are not in the bundle. metric: "module:function" for L2.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    given = opened.reference() if reference is None else read_reference(Path(reference), opened.manifest)
    return compare(opened, given, options, relative=relative, max_drop=max_drop, metric=metric)
