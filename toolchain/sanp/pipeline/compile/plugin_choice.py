"""Which gated layers should run in our TensorRT plugin and which in TensorRT's own convolution, and why.

A plugin skips work but costs a launch of its own, breaks fusion and runs less close to the peak of the GPU. Measured
times of the device decide where there are some. Otherwise the plugin is used only where what was measured on an H100
(docs/cuda.md) says that it pays: never in halves, never with fewer than 16 input channels, and in float32 by a model:

    native = LAUNCH + work + LAUNCH + reading and writing the output once more for the scale
    plugin = PLUGIN + ETA * work * density + writing the output, of which closed channels are zeros
    work   = max(operations / peak, bytes / bandwidth)

density is the mean over samples of (open outputs x active inputs), from PyTorch's answers beside the model. LAUNCH and
PLUGIN are assumptions. ETA is the smallest whole number with which the model chooses no float32 layer that was slower
in our kernel on the H100; a test holds it to the committed times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, dense_macs, sample_macs
from sanp_targets.errors import ConfigError, InputError
from sanp_targets.targets import Gpu

AUTO, ALL, NONE = "auto", "all", "none"

LAUNCH_US = 4.0
PLUGIN_US = 12.0
ETA = 4.0
FEWEST_CHANNELS = 16  # inputs of a group: stems and depthwise layers, nearly all of them slower

NOT_MEASURED = "no layer was measured on this device, see --layer-times"


@dataclass(frozen=True)
class Choice:
    """plugin: whether the layer runs in our kernel; reason: in words, with the numbers that decided."""

    layer: str
    plugin: bool
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What is known about the network on its target. densities: layer -> share of its pairs that is computed.

    measured: layer -> (our kernel, TensorRT's dense convolution) in ms; batch: samples per call.
    """

    gpu: Gpu
    precision: str
    batch: int
    densities: Mapping[str, float]
    measured: Mapping[str, tuple[float, float]]


def choose(layers: Sequence[Layer], wanted: str, evidence: Evidence) -> list[Choice]:
    """One choice per layer with a gate or that follows one.

    wanted: "auto", "all", "none", or layer names separated by commas.
    Raises ConfigError for a name that is not a gated layer.
    """
    gated = [layer for layer in layers if layer.masked]
    if wanted == AUTO:
        return [_decide(layer, evidence) for layer in gated]
    named = {layer.name for layer in gated} if wanted == ALL else set()
    if wanted not in (ALL, NONE):
        named = {name.strip() for name in wanted.split(",") if name.strip()}
        unknown = sorted(named - {layer.name for layer in gated})
        if unknown or not named:
            raise ConfigError(
                f"plugin layers are {wanted!r}, expected {AUTO}, {ALL}, {NONE} or some of "
                f"{', '.join(layer.name for layer in gated)}; correct --plugin-layers"
            )
    return [Choice(layer.name, layer.name in named, "asked for") for layer in gated]


def densities(layers: Sequence[Layer], reference: Reference | None) -> dict[str, float]:
    """Mean share of the pairs of channels that the samples compute, per gated layer; empty without samples."""
    if reference is None or not reference.scales:
        return {}
    convolution = Convention(spm="none")
    return {
        layer.name: float(sample_macs((layer,), reference.scales, convolution).mean()) / dense_macs((layer,))
        for layer in layers
        if layer.masked
    }


def read_layer_times(path: Path, target: str) -> dict[str, tuple[float, float]]:
    """Times per layer from a profile of a bundle that was compiled for `target` with all layers in the plugin.

    Layer -> (our convolution, dense convolution) in ms; layers without both are left out. Raises InputError if the file
    is no such profile.
    """
    try:
        profile = parse_json(path.read_text(encoding="utf-8"))
        found = (profile["kind"], profile["bundle"]["target"]["name"])
        rows = {row["name"]: _pair(row) for row in profile["layers"] if row["gated"] or row.get("follows")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is not a profile ({type(error).__name__}: {error}), expected the JSON of `device.pyz profile`"
        ) from error
    if found != ("profile", target):
        raise InputError(f"{path}: is a {found[0]} for {found[1]}, expected a profile for {target}; measure there")
    return {name: pair for name, pair in rows.items() if pair is not None}


def _pair(row: Mapping[str, Any]) -> tuple[float, float] | None:
    gated, dense = row.get("gated_ms"), row.get("dense_ms")
    if gated is None or dense is None:
        return None
    return float(gated) - float(row.get("gate_ms") or 0.0), float(dense)


def _decide(layer: Layer, evidence: Evidence) -> Choice:
    if layer.name in evidence.measured:
        ours, dense = evidence.measured[layer.name]
        return Choice(layer.name, ours < dense, f"measured {ours:.4f} ms in our kernel, {dense:.4f} ms dense")
    known = _known_without_times(layer, evidence)
    if known is not None:
        return Choice(layer.name, False, f"{known}; {NOT_MEASURED}")
    density, limit = evidence.densities[layer.name], break_even(layer, evidence)
    return Choice(
        layer.name, density < limit, f"density {density:.3f}, modelled break-even {limit:.3f}; {NOT_MEASURED}"
    )


def _known_without_times(layer: Layer, evidence: Evidence) -> str | None:
    """Why TensorRT's own convolution is taken without asking the model; None if the model has to say."""
    if evidence.precision != "fp32":
        return f"in {evidence.precision} our kernel was slower than the dense one on nearly every layer measured"
    if layer.c_in // layer.groups < FEWEST_CHANNELS:
        return f"with fewer than {FEWEST_CHANNELS} input channels our kernel was slower on nearly every layer measured"
    if _work_us(layer, evidence) is None:
        return "nothing is known of this GPU's rates"
    if layer.name not in evidence.densities:
        return "no samples tell its density"
    return None


def break_even(layer: Layer, evidence: Evidence) -> float:
    """Density below which the modelled plugin is faster; 0 if it never is, or if the rates of the GPU are unknown."""
    work = _work_us(layer, evidence)
    if work is None:
        return 0.0
    output = _map_bytes(layer, evidence) / _bandwidth(evidence)
    native = LAUNCH_US + work + LAUNCH_US + 2.0 * output
    return min(max((native - PLUGIN_US - output) / (ETA * work), 0.0), 1.0)


def _work_us(layer: Layer, evidence: Evidence) -> float | None:
    gpu = evidence.gpu
    peak = gpu.fp16_tflops if evidence.precision == "fp16" else gpu.fp32_tflops
    if peak is None or gpu.bandwidth_gb_s is None:
        return None
    operations = 2.0 * dense_macs((layer,)) * evidence.batch
    weights = layer.c_out * layer.c_in // layer.groups * layer.kernel[0] * layer.kernel[1] * _size(evidence)
    # The input map is at least as large as the output at stride 1; its own size is not in the table.
    inputs = _map_bytes(layer, evidence) * layer.c_in / layer.c_out
    moved = weights + inputs + _map_bytes(layer, evidence)
    return max(operations / (peak * 1e6), moved / _bandwidth(evidence))


def _map_bytes(layer: Layer, evidence: Evidence) -> float:
    return float(layer.c_out * layer.out_hw[0] * layer.out_hw[1] * evidence.batch * _size(evidence))


def _size(evidence: Evidence) -> int:
    return 2 if evidence.precision == "fp16" else 4


def _bandwidth(evidence: Evidence) -> float:
    """Bytes per microsecond."""
    assert evidence.gpu.bandwidth_gb_s is not None
    return evidence.gpu.bandwidth_gb_s * 1e3
