"""`sanp doctor`: what this machine can and cannot do, and how to mend it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sanp_runtime.engines.onnxruntime import distribution
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from sanp_runtime.engines.shared_object import check_shared_object
from sanp_targets.device import describe, fingerprint
from sanp_targets.errors import SanpError
from sanp_targets.processor import has_byte_products, processor
from sanp_targets.targets import Target, host_arch, known


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: state is "ok", "missing" (something cannot be done) or "note"."""

    what: str
    state: str
    detail: str
    cure: str = ""


def examine() -> list[Finding]:
    """Look at packages, the operator library, the targets and the measuring conditions of this machine."""
    findings = [Finding("python", "ok", f"{platform.python_version()} on {platform.machine()}")]
    findings += [_runtime(), *(_package(*row) for row in _NEEDS)]
    findings += [_try("operator library", _library), _try("kernels in ONNX Runtime", _kernels)]
    if all(importlib.util.find_spec(name) is not None for name in ("torch", "onnx", "onnx_graphsurgeon")):
        findings.append(_try("export to ONNX", _export))
    findings += _targets()
    findings.append(_int8())
    findings += _measuring()
    return findings


_NEEDS = (
    ("torch", "train and export", "pip install 'sanp-toolchain[train,export]'"),
    ("scikit-learn", "load the digits data set", "pip install 'sanp-toolchain[train]'"),
    ("torch-pruning", "train with methods that remove channels", "pip install 'sanp-toolchain[train]'"),
    ("onnx", "export and compile", "pip install 'sanp-toolchain[export]'"),
    ("onnx-graphsurgeon", "export and compile", "pip install 'sanp-toolchain[export]'"),
    ("onnxscript", "export", "pip install 'sanp-toolchain[export]'"),
    ("jinja2", "write reports", "pip install 'sanp-toolchain[report]'"),
)


def _package(name: str, purpose: str, cure: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", f"not installed; needed to {purpose}", cure)


def _runtime() -> Finding:
    """ONNX Runtime comes in several builds, of which there should be one."""
    found = distribution.installed()
    if not found:
        cure = f"pip install 'sanp-toolchain[run]', or another build such as {distribution.DISTRIBUTIONS[1]}"
        return Finding("onnxruntime", "missing", "not installed; needed to run bundles", cure)
    if len(found) > 1:
        detail, _, cure = distribution.several().partition("; ")
        return Finding("onnxruntime", "missing", detail, cure)
    return Finding("onnxruntime", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))


def _try(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", look())
    except SanpError as error:
        return Finding(what, "missing", str(error), "see the message")
    except Exception as error:
        return Finding(
            what, "missing", f"{type(error).__name__}: {error}", "pip install --force-reinstall sanp-toolchain"
        )


def _library() -> str:
    library = OpLibrary(find_library())
    return f"version {library.version}, instruction set {library.isa}, {library.path}"


def _kernels() -> str:
    """Register the library with the installed ONNX Runtime: the one thing that a version check cannot tell."""
    onnxruntime = distribution.import_onnxruntime()
    options = onnxruntime.SessionOptions()
    check_shared_object(find_library())
    options.register_custom_ops_library(str(find_library()))
    return f"library registers with ONNX Runtime {onnxruntime.__version__}"


def _export() -> str:
    """Export one convolution: versions may each be new enough and still not fit each other."""
    from sanp_export.exporter import check_environment

    check_environment()
    return "torch exports a network"


def _targets() -> list[Finding]:
    """A row per target; one row if a file of the user cannot be read."""
    try:
        return [_target(target) for target in known().values()]
    except SanpError as error:
        return [Finding("targets", "missing", str(error), "see the message")]


def _target(target: Target) -> Finding:
    name = f"target {target.name}"
    if target.gpu is not None:
        return _gpu_target(target)
    lacking = [flag for flag in target.isa if flag not in processor()["isa"]]
    if target.arch == host_arch() and not lacking:
        return Finding(name, "ok", "compile, run and profile here")
    if target.arch == host_arch():
        detail = f"needs {', '.join(target.isa)}, this processor has no {', '.join(lacking)}"
        return Finding(name, "note", detail, "compile on such a machine")
    cure = f"reach a {target.arch} device with --host (docs/boards.md), or install sanp-toolchain and compile there"
    return Finding(name, "note", f"needs a {target.arch} machine, this is {host_arch()}", cure)


def _int8() -> Finding:
    if has_byte_products(processor()):
        return Finding("compile --int8", "ok", "this processor has products of bytes")
    detail = "no products of bytes (AVX-512 with VNNI and VBMI2, AVX-VNNI, Arm's dot product): float32 is faster here"
    return Finding("compile --int8", "note", detail, "compile without --int8")


def _gpu_target(target: Target) -> Finding:
    """Any machine compiles for TensorRT; engines are built where TensorRT is."""
    here = target.arch == host_arch() and importlib.util.find_spec("tensorrt") is not None
    if here:
        return Finding(f"target {target.name}", "ok", "compile here; engines are built with the installed TensorRT")
    cure = "sanp compile prints the command that builds the engines on the device"
    return Finding(f"target {target.name}", "note", "compiles here, engines are built on the device", cure)


def _measuring() -> list[Finding]:
    device: dict[str, Any] = fingerprint()
    findings = [Finding("machine", "ok", describe(device))]
    governor = device.get("governor")
    if governor != "performance":
        detail = f"frequency governor is {governor or 'not readable'}; latencies carry the verdict UNPINNED"
        findings.append(
            Finding(
                "clock", "note", detail, "sudo cpupower frequency-set -g performance; a virtual machine cannot be fixed"
            )
        )
    return findings
