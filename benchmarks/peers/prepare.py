"""The files of one network at one batch size: models for every runtime, input sets, and the answers they must give.

Everything follows from seeds, so that two runs time the same networks on the same inputs. The images are standard
normal and so are the calibration images of the int8 network; the weights are random. Speed does
not depend on either, except through the masks.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

import numpy as np
import onnx

from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.masks import kept_fraction
from benchmarks.networks.rounding import rounded
from benchmarks.networks.shapes import NETWORKS, Network
from benchmarks.peers.catalog import MASKED, QUANTISED, Engine
from benchmarks.peers.controlled import controlled, fused, with_functions
from benchmarks.peers.networks import at_batch, dense, draw_masks
from benchmarks.peers.quantised import on_bytes
from benchmarks.peers.widths import narrowed, thinner
from benchmarks.sessions import session

# Ranges are read from as many pixels as 64 small images have, and from this many images at least.
CALIBRATION_PIXELS, FEWEST_IMAGES = 64 * 32 * 32, 8
# Channel counts that every runtime fills whole vectors with, AVX-512 included; what a careful user would choose.
EVEN_MULTIPLE = 16


@dataclass(frozen=True)
class Plan:
    """What does not depend on the batch: the network, its masks' kept fraction and cost, and its narrowed forms."""

    name: str
    network: Network
    keep: float
    narrow: Network
    uneven: Network

    @classmethod
    def make(cls, name: str, width: float = 1.0) -> Plan:
        """The plan at the operating point of the paper or with half of the gated channels, full or thinner."""
        network = (NETWORKS | EDGE_NETWORKS)[name]()
        if width != 1.0:
            network = thinner(network, width)
        keep = kept_fraction(name, network)
        cost = draw_masks(network, keep, 8, range(8))[1]
        narrow = narrowed(network, cost, EVEN_MULTIPLE)
        return cls(name, network, keep, narrow, narrowed(network, cost, 1))

    def share(self, model: str, gated_cost: float) -> float:
        """Multiply-adds of a file over those of the dense network."""
        forms = {"narrow": self.narrow, "narrow-int8": self.narrow, "uneven": self.uneven}
        if model in forms:
            return forms[model].macs / self.network.macs
        return gated_cost if model in MASKED else 1.0


@dataclass
class Prepared:
    """Models by (runtime, stem) or why there is none; input files and true answers [sets, N, 10] by stem."""

    models: dict[tuple[str, str], Path] = field(default_factory=dict)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    feeds: dict[str, Path] = field(default_factory=dict)
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    cost: float = 1.0


def prepare(plan: Plan, batch: int, engines: Iterable[Engine], folder: Path) -> Prepared:
    """Write what `engines` need into `folder`, and compute with plain ONNX Runtime what they must answer."""
    folder.mkdir(parents=True, exist_ok=True)
    done, engines = Prepared(), list(engines)
    # More sets at batch 1: the same number of masks passes by in a turn.
    sets = 8 if batch == 1 else 4
    masks, done.cost = draw_masks(plan.network, plan.keep, batch, range(sets))
    rng, size = np.random.default_rng(1), plan.network.size
    images = rng.standard_normal((sets, batch, 3, size, size), dtype=np.float32)
    plain = [{"x": x} for x in images]
    inputs = {"plain": plain, "masked": [{**feed, **mask} for feed, mask in zip(plain, masks)]}
    for stem in sorted({e.model for e in engines} | {e.oracle for e in engines}):
        masked = stem in MASKED
        done.feeds[stem] = _save_feeds(folder / f"{'masked' if masked else 'plain'}.npz", inputs, masked)
        model = _build(plan, stem, folder)
        timed = fused(model) if masked and stem not in QUANTISED else model
        onnx.save(at_batch(timed, batch), folder / f"{stem}.onnx")
        if stem not in QUANTISED:
            oracle = at_batch(with_functions(model) if masked else model, batch)
            done.truth[stem] = _answers(oracle, inputs["masked" if masked else "plain"])
    for runtime, stem in sorted({(e.runtime, e.model) for e in engines}):
        try:
            path = folder / f"{stem}.onnx"
            done.models[runtime, stem] = to_ncnn(path, batch, size) if runtime == "ncnn" else path
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            done.missing[runtime, stem] = str(error)
    return done


def _build(plan: Plan, stem: str, folder: Path) -> onnx.ModelProto:
    if stem in MASKED:
        model = controlled(plan.network, gates=QUANTISED.get(stem, stem) == "gates")
        if stem in QUANTISED:
            return on_bytes(model, _calibration(plan))
        return rounded(model, plan.network) if stem == "masks-bf16" else model
    forms = {"dense": plan.network, "narrow": plan.narrow, "uneven": plan.uneven}
    if stem in QUANTISED:
        # The batches of a network share one quantisation, which is made at batch 1.
        return quantise(dense(forms[QUANTISED[stem]]), folder.parent / f"{stem}-batch1.onnx", plan.network.size)
    return dense(forms[stem])


def _calibration(plan: Plan) -> list[dict[str, np.ndarray]]:
    """Images as the quantiser of the rivals sees them, with masks of their own."""
    images = _images(plan.network.size)
    masks, _ = draw_masks(plan.network, plan.keep, 1, range(1000, 1000 + len(images)))
    return [{"x": image, **mask} for image, mask in zip(images, masks)]


def _images(size: int) -> np.ndarray:
    """The calibration images [images, 1, 3, size, size] of every quantised file."""
    count = max(FEWEST_IMAGES, CALIBRATION_PIXELS // size**2)
    return np.random.default_rng(7).standard_normal((count, 1, 3, size, size), dtype=np.float32)


def _save_feeds(path: Path, inputs: dict[str, list[dict]], masked: bool) -> Path:
    sets = inputs["masked" if masked else "plain"]
    np.savez(path, **{key: np.stack([feed[key] for feed in sets]) for key in sets[0]})
    return path


def _answers(model: onnx.ModelProto, feeds: list[dict]) -> np.ndarray:
    plain = session(model.SerializeToString())
    return np.stack([plain.run(None, feed)[0] for feed in feeds])


def quantise(model: onnx.ModelProto, path: Path, size: int) -> onnx.ModelProto:
    """Static quantisation by ONNX Runtime's own tool: Q/DQ pairs, weights per channel, min-max ranges.

    The result is kept in `path` and read from there the next time. Every network sees the same calibration images.
    Unsigned activations and signed weights: of all combinations the fastest or level with it in both runtimes on AVX2
    (ResNet-18 in ONNX Runtime: 8.6 ms, with signed activations 16.1, with unsigned weights 11.7).
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(_images(size))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            return None if image is None else {"x": image}

    if not path.exists():
        logging.getLogger().setLevel(logging.ERROR)  # it advises a pre-processing that has nothing to do here
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(model, path, Images(), quant_format=QuantFormat.QDQ, per_channel=True, **types)
    return onnx.load(path)


def to_ncnn(model: Path, batch: int, size: int) -> Path:
    """Convert with pnnx, the converter of the ncnn project; RuntimeError with its last words if that fails."""
    package = util.find_spec("pnnx")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("pnnx is not installed, it converts models for ncnn")
    program = Path(package.submodule_search_locations[0]) / "pnnx"
    shape = f"inputshape=[{batch},3,{size},{size}]"
    command = [program, model.name, shape, "fp16=0"]
    run = subprocess.run(command, cwd=model.parent, capture_output=True, text=True, timeout=120, check=False)
    result = model.with_suffix(".ncnn.param")
    if run.returncode or not result.exists():
        raise RuntimeError(f"pnnx cannot convert {model.name}: {(run.stderr or run.stdout).strip()[-200:]}")
    return result
