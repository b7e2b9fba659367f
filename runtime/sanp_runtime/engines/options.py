"""How an engine runs: one object from the command line to the backend."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Dict, Optional

from sanp_runtime.bundle.reader import PathLike
from sanp_targets.errors import ConfigError

BUNDLED = "bundle"
MAX_THREADS = 1024


@dataclass(frozen=True)
class EngineOptions:
    """Settings of one engine; other engines of the process keep theirs.

    threads: of the engine, 1 to 1024. library: "bundle" for the operator library inside the bundle, None for plain ONNX
    Runtime (same logits, slow), or the path of another one. isa: force an instruction set of the library, None for the
    best one. A TensorRT bundle takes none of them.
    """

    threads: int = 1
    library: Optional[PathLike] = BUNDLED
    isa: Optional[str] = None

    def check(self) -> "EngineOptions":
        """These options; ConfigError if a value cannot be used or two contradict each other."""
        if type(self.threads) is not int or not 1 <= self.threads <= MAX_THREADS:
            raise ConfigError(f"threads is {self.threads!r}, expected an integer from 1 to {MAX_THREADS}; correct it")
        if self.isa is not None and self.library is None:
            raise ConfigError(
                f"instruction set {self.isa!r} was asked for without an operator library, expected one; pass "
                f"library={BUNDLED!r}"
            )
        return self

    def changed(self) -> Dict[str, Any]:
        """Name -> value of the options that are not at their default."""
        return {
            item.name: getattr(self, item.name) for item in fields(self) if getattr(self, item.name) != item.default
        }
