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
    Runtime (same outputs, slow), or the path of another one. The rest is for the kernels of that library, None for the
    best: isa, an instruction set; winograd, the largest Winograd tile, 0 for none; bf16_weights, whether weights that
    16 bits hold may be kept so. A TensorRT bundle takes none of them.
    """

    threads: int = 1
    library: Optional[PathLike] = BUNDLED
    isa: Optional[str] = None
    winograd: Optional[int] = None
    bf16_weights: Optional[bool] = None

    def check(self) -> "EngineOptions":
        """These options; ConfigError if a value cannot be used or two contradict each other."""
        if type(self.threads) is not int or not 1 <= self.threads <= MAX_THREADS:
            raise ConfigError(f"threads is {self.threads!r}, expected an integer from 1 to {MAX_THREADS}; correct it")
        asked = [f"{name} {value!r}" for name, value in self.kernel_settings().items() if value is not None]
        if asked and self.library is None:
            raise ConfigError(
                f"{', '.join(asked)} was asked for without an operator library, expected one; pass library={BUNDLED!r}"
            )
        return self

    def kernel_settings(self) -> Dict[str, Any]:
        """The options that `OpLibrary.session_entries` takes."""
        return {"isa": self.isa, "winograd": self.winograd, "bf16_weights": self.bf16_weights}

    def without_library(self) -> "EngineOptions":
        """The same for plain ONNX Runtime, which has no settings for kernels."""
        return EngineOptions(threads=self.threads, library=None)

    def changed(self) -> Dict[str, Any]:
        """Name -> value of the options that are not at their default."""
        return {
            item.name: getattr(self, item.name) for item in fields(self) if getattr(self, item.name) != item.default
        }
