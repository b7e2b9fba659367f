"""On-device self-test: the reference samples inside a bundle, through all three levels, with NumPy alone."""

from __future__ import annotations

from typing import Optional, Union

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.validate.validation import Validation, compare


def self_test(
    bundle: Union[PathLike, Bundle], options: Optional[EngineOptions] = None, metric: Optional[str] = None
) -> Validation:
    """`compare` a bundle with its own reference.npz; InputError if it has none. metric: "module:function" for L2."""
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    return compare(opened, opened.reference(), options, metric=metric)
