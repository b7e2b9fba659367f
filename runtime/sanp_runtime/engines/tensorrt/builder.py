"""Build the engines of a bundle on the machine that will run them, prove them, and write them into the bundle."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from sanp_runtime.bundle.reader import Bundle, PathLike, hash_file, open_bundle
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import PLUGIN_FILE, SOURCES_FILE, TENSORRT, UNGATED, engine_file
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.tensorrt.plugin import compile_plugin
from sanp_runtime.engines.tensorrt.tools import choose_tool
from sanp_runtime.engines.tensorrt.versions import build_command, gpu
from sanp_targets.device import fingerprint
from sanp_targets.errors import ConfigError, InputError, TargetError
from sanp_targets.targets import host_arch

Log = Callable[[str], None]


def build(
    path: PathLike, *, tool: str = "auto", plugin: Optional[PathLike] = None, log: Log = lambda text: None
) -> Bundle:
    """Build plugin and engines for this machine and replace the bundle by one that holds them.

    tool: "python" (the tensorrt package), "trtexec", or "auto": the package where it can be imported. plugin: a library
    that was compiled before, otherwise it is compiled from the sources in the bundle. log: called with one sentence
    before each step. Nothing is replaced unless every layer that should be our plugin is proven to be it. Raises
    TargetError if something is missing here, AccelerationError if a layer is not ours, InputError for a damaged bundle.
    """
    bundle = open_bundle(Path(path).resolve())
    _check_target(bundle)
    chosen = choose_tool(tool)
    versions = {"tensorrt": chosen.version, "tool": chosen.name, **gpu()}
    _check_gpu(bundle, versions, log)
    log(f"{versions['gpu']} (sm_{versions['sm']}), TensorRT {versions['tensorrt']}, CUDA {versions['cuda']}")
    with tempfile.TemporaryDirectory(prefix="sanp-build-") as name:
        folder = Path(name)
        library = _library(bundle, plugin, folder, versions, log)
        engines = {}
        for variant in bundle.manifest.all_variants:
            log(f"building {variant}: TensorRT times its kernels, which takes minutes on a small board")
            engines[variant] = folder / engine_file(variant)
            chosen.build(bundle, variant, engines[variant], library)
        log("proving that every chosen layer is our plugin")
        return _write(bundle, engines, library, versions)


def _check_target(bundle: Bundle) -> None:
    target = bundle.manifest.target
    if target["backend"] != TENSORRT:
        raise ConfigError(
            f"{bundle.path} is for {target['name']}, which has no engines to build, expected a TensorRT target; "
            "compile with --target jetson-orin-nano or another one of `sanp targets list`"
        )
    if target["arch"] != host_arch():
        raise TargetError(
            f"{bundle.path} is for {target['name']} ({target['arch']}), this machine is {host_arch()}, and engines are "
            f"built where they run; copy the bundle there and run: {build_command(bundle.path)}"
        )


def _check_gpu(bundle: Bundle, versions: Mapping[str, Any], log: Log) -> None:
    """The manifest has the compute capability of its target, so that no board reads a file of targets."""
    name, made = bundle.manifest.target["name"], bundle.manifest.build
    if "sm" not in made:
        log(f"{bundle.path} was made by an older version, which did not keep the GPU of {name}: it is not compared")
        return
    if made["sm"] is not None and str(made["sm"]) != versions["sm"]:
        raise TargetError(
            f"{bundle.path} was compiled for {name} (sm_{made['sm']}), this GPU is {versions['gpu']} "
            f"(sm_{versions['sm']}); compile for the target of this machine, which decides which layers use our plugin"
        )


def _library(
    bundle: Bundle, plugin: Optional[PathLike], folder: Path, versions: Dict[str, Any], log: Log
) -> Optional[Path]:
    """The plugin library, or None if no layer uses it; its hash goes into the versions."""
    if not bundle.manifest.gate_kernels:
        return None
    if plugin is not None:
        library = Path(plugin)
        if not library.is_file():
            raise InputError(f"{library}: is not a file, expected a plugin library; leave --plugin out to compile it")
    else:
        if SOURCES_FILE not in bundle.manifest.files:
            raise InputError(f"{bundle.path}: holds no {SOURCES_FILE}, expected the plugin's sources; compile it again")
        log("compiling the plugin")
        library = compile_plugin(bundle.path / SOURCES_FILE, folder / "plugin", versions["sm"])
    versions["plugin"] = hash_file(library).sha256[:12]
    return library


def _write(bundle: Bundle, engines: Mapping[str, Path], library: Optional[Path], versions: Mapping[str, Any]) -> Bundle:
    """The same bundle with these engines; the old one stays if the proof fails."""
    rows = {variant: {"file": engine_file(variant)} for variant in engines}
    made = {**bundle.manifest.build, "engines": rows, "fingerprint": dict(versions)}
    manifest = replace(bundle.manifest, build=made, device=fingerprint())
    old = {PLUGIN_FILE, *(row["file"] for row in bundle.manifest.build.get("engines", {}).values())}
    with BundleWriter(bundle.path, replace=True) as writer:
        for name in bundle.manifest.files:
            if name not in old:
                writer.add_file(name, bundle.path / name)
        for variant, path in engines.items():
            writer.add_file(engine_file(variant), path)
        if library is not None:
            writer.add_file(PLUGIN_FILE, library)
        return writer.finish(manifest, check=_prove)


def _prove(candidate: Bundle) -> None:
    for variant in [name for name in candidate.manifest.all_variants if name not in UNGATED]:
        with contextlib.closing(load_bundle(candidate, variant=variant)) as engine:
            engine.proof().require()
