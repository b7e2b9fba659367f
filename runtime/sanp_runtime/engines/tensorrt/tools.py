"""The two ways to build an engine: TensorRT's Python package, or trtexec where there is no package."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import FLOAT_DENSE, FLOAT_GATED, INT8, UNGATED, mask_input, plain_name
from sanp_runtime.engines.shared_object import check_shared_object
from sanp_runtime.engines.tensorrt import trtexec
from sanp_runtime.engines.tensorrt.api import Tensorrt, import_tensorrt
from sanp_runtime.engines.tensorrt.plugin import load_plugin
from sanp_runtime.engines.tensorrt.versions import find_trtexec, trtexec_version
from sanp_targets.errors import ConfigError, TargetError

PYTHON, TRTEXEC = "python", "trtexec"


class PythonTool:
    """Builds in this process."""

    name = PYTHON

    def __init__(self) -> None:
        self._trt = Tensorrt()
        self.version = self._trt.version

    def build(self, bundle: Bundle, variant: str, engine: Path, library: Optional[Path]) -> None:
        """Write the engine of one variant; TargetError with TensorRT's own words if it cannot."""
        if library is not None:
            load_plugin(library)
        half, single = bundle.manifest.precision == "fp16", single_nodes(bundle.manifest, variant)
        shapes, signed = profiles(bundle.manifest, variant), signed_bytes(bundle.manifest, variant)
        plan = self._trt.build(bundle.variant(variant), shapes, half, single, signed)
        engine.write_bytes(plan)


class TrtexecTool:
    """Builds in a process of its own."""

    name = TRTEXEC

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = trtexec_version(path)

    def build(self, bundle: Bundle, variant: str, engine: Path, library: Optional[Path]) -> None:
        """Write the engine of one variant and its layer information (`.json` beside it)."""
        if library is not None:
            check_shared_object(library)  # trtexec would only say that it cannot open it, or die
        line = trtexec.build_line(
            self.version,
            str(bundle.variant(variant)),
            str(engine),
            str(library) if library is not None else None,
            profiles(bundle.manifest, variant),
            bundle.manifest.precision == "fp16",
            single_nodes(bundle.manifest, variant),
            signed=signed_bytes(bundle.manifest, variant),
        )
        trtexec.run(self.path, line)


def signed_bytes(manifest: Manifest, variant: str) -> bool:
    """Whether the file of a variant has layers of bytes."""
    return manifest.precision == INT8 and variant not in (FLOAT_DENSE, FLOAT_GATED)


def choose_tool(name: str = "auto") -> Union[PythonTool, TrtexecTool]:
    """The tool of this name, or with "auto" the package and else trtexec; TargetError if this machine has neither."""
    if name not in ("auto", PYTHON, TRTEXEC):
        raise ConfigError(f"the tool is {name!r}, expected auto, {PYTHON} or {TRTEXEC}; choose one of them")
    if name == PYTHON or (name == "auto" and has_package()):
        return PythonTool()
    path = find_trtexec()
    if path is not None:
        return TrtexecTool(path)
    if name == TRTEXEC:
        raise TargetError(
            "trtexec was not found, expected it in the path or in /usr/src/tensorrt/bin; on a Jetson run "
            "`sudo apt install libnvinfer-bin`, elsewhere add it to the path or set TENSORRT_ROOT"
        )
    return PythonTool()  # whose error names the package to install


def has_package() -> bool:
    """True if TensorRT's Python package can be imported here."""
    try:
        import_tensorrt()
    except TargetError:
        return False
    return True


def profiles(manifest: Manifest, variant: str) -> List[Dict[str, Tuple[List[int], List[int], List[int]]]]:
    """For each size of the images: name -> smallest, typical and largest shape of every input of a variant.

    Within a profile the batch alone varies: TensorRT asks for the scratch memory of the largest shape of a profile, and
    our plugin may need more for a smaller image.
    """
    masks = {} if variant in UNGATED else {mask_input(name): [manifest.layer(name).c_out] for name in manifest.gated}
    batch = [int(manifest.build["batch"][key]) for key in ("min", "opt", "max")]
    found = []
    for size in manifest.image_sizes:
        shapes = {manifest.input["name"]: [manifest.input["shape"][0], *size], **masks}
        found.append({plain_name(name): ([batch[0], *s], [batch[1], *s], [batch[2], *s]) for name, s in shapes.items()})
    return found


def single_nodes(manifest: Manifest, variant: str) -> Dict[str, str]:
    """Nodes of a variant that compute in float32 in an FP16 network, and the types of their outputs.

    As the exporter listed them: name -> "fp32", "fp32+int32", or "" if no output is a float.
    """
    return dict(manifest.build.get("single_nodes", {}).get(variant, {}))
