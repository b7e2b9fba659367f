"""BUILD.txt of a TensorRT bundle: the one command, and what it does as trtexec lines per TensorRT version."""

from __future__ import annotations

import shlex

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import DEVICE_ARCHIVE, PLUGIN_FILE, SOURCES_FILE, UNGATED, engine_file
from sanp_runtime.engines.tensorrt.tools import profiles, signed_bytes, single_nodes
from sanp_runtime.engines.tensorrt.trtexec import build_line
from sanp_targets.targets import Gpu

# For a target that is no board: one version of each dialect of trtexec.
_DIALECTS = (("TensorRT 8.5", "8.5.2"), ("TensorRT 8.6", "8.6.2"), ("TensorRT 10", "10.3.0"), ("TensorRT 11", "11.1.0"))


def recipe(manifest: Manifest, gpu: Gpu) -> str:
    """The text; every command is complete and runs in the bundle's folder."""
    rows = tuple((release.name, release.tensorrt) for release in gpu.releases) or _DIALECTS
    lines = [
        f"Engines of {manifest.name} for {manifest.target['name']}",
        "",
        "One command on the device builds what the engines need, proves them and writes them into this folder.",
        "From the folder above, with the name of this one for BUNDLE:",
        "",
        f"    python3 BUNDLE/{DEVICE_ARCHIVE} build BUNDLE",
        "",
        "It needs numpy, and TensorRT's Python package or trtexec. Then check the answers and measure:",
        "",
        f"    python3 BUNDLE/{DEVICE_ARCHIVE} self-test BUNDLE",
        f"    python3 BUNDLE/{DEVICE_ARCHIVE} profile BUNDLE",
        "",
        "By hand, in a copy of this folder and without the proof:",
    ]
    if manifest.gate_kernels:
        lines += [
            "",
            f"    mkdir plugin && tar xzf {SOURCES_FILE} -C plugin",
            "    cmake -S plugin/trt -B plugin/build -DCMAKE_BUILD_TYPE=Release",
            "    cmake --build plugin/build --target sanp_trt",
            f"    cp $(find plugin/build -name {PLUGIN_FILE}) .",
        ]
    for name, version in rows:
        lines += ["", f"{name} (TensorRT {version}):"]
        if len(manifest.image_sizes) > 1 and version.startswith("8."):
            lines.append("    by TensorRT's Python package alone: this trtexec builds for one size of the images")
            continue
        lines += [f"    {_line(manifest, variant, version)}" for variant in manifest.all_variants]
    return "\n".join(lines) + "\n"


def _line(manifest: Manifest, variant: str, version: str) -> str:
    line = build_line(
        version,
        manifest.variants[variant],
        engine_file(variant),
        f"./{PLUGIN_FILE}" if manifest.gate_kernels and variant not in UNGATED else None,
        profiles(manifest, variant),
        manifest.precision == "fp16",
        single_nodes(manifest, variant),
        signed=signed_bytes(manifest, variant),
    )
    return shlex.join(["trtexec", *line])
