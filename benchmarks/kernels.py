"""Time the gated kernels against ONNX Runtime's dense convolution, layer by layer and over whole networks.

    python benchmarks/kernels.py                     # all layers and networks, table on stdout
    python benchmarks/kernels.py networks --json out.json
    python benchmarks/kernels.py layers --only resnet18 --isa avx2

Both sides run in one process on one thread, interleaved, and are compared before they are timed. The yardstick is the
multiply-add rate of this core, measured in the same run.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import itertools
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kernels_models as models
import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).resolve().parents[1]
KEEPS = (1.0, 0.7, 0.5, 0.3)
# What sessions ask of the library where a benchmark does not say otherwise; older libraries know nothing else.
DEFAULTS = {"isa": "auto", "winograd": "4", "bf16_weights": "1"}
# Cost of the pruned network as a fraction of the dense one: the operating points of the SANP paper.
OPERATING_POINTS = {"resnet18": 0.325, "vgg19": 0.336, "m-cifarnet": 0.225}


def find_library() -> Path:
    """The operator library: the installed one, or the one in the source tree."""
    try:
        from sanp_runtime.engines.onnxruntime.library import find_library as find

        return Path(find())
    except ImportError:
        return ROOT / "runtime/sanp_runtime/_native/libsanp_ops.so"


class Library:
    """The operator library, and what the sessions of a benchmark ask of it."""

    def __init__(self, path: Path | None, isa: str = "auto", **settings: int) -> None:
        """`path` None: the library of this installation. settings: `winograd`, `bf16_weights`, as in `sanp.winograd`.

        ONNX Runtime refuses a session with an instruction set that the CPU lacks, and says which it has. SystemExit for
        a library that is too old to be asked.
        """
        self.path = path or find_library()
        asked = {"isa": isa, **{name: str(value) for name, value in settings.items()}}
        self.entries = {f"sanp.{name}": value for name, value in asked.items() if value != DEFAULTS[name]}
        self.ops = ctypes.CDLL(str(self.path))
        if self.entries and not hasattr(self.ops, "sanp_ops_settings"):
            raise SystemExit(f"{self.path}: is too old to be asked for {self.entries}; use the library of this package")
        self.ops.sanp_ops_isa.restype = self.ops.sanp_ops_version.restype = ctypes.c_char_p
        self.isa: str = self.ops.sanp_ops_isa().decode() if isa == "auto" else isa

    def asked(self, **settings: int) -> Library:
        """The same library, asked for these settings besides."""
        return Library(self.path, self.entries.get("sanp.isa", DEFAULTS["isa"]), **settings)

    def versions(self) -> dict[str, str]:
        """What a result file says about its origin."""
        return {
            "isa": self.isa, "onnxruntime": ort.__version__, "machine": platform.machine(),
            "library": self.ops.sanp_ops_version().decode(),
        }  # fmt: skip


def at_least_two(text: str) -> int:
    """A number of rounds: quartiles need two."""
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds, expected 2 or more")
    return int(text)


def command_line(description: str) -> argparse.ArgumentParser:
    """Options of every benchmark of the kernels."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["all", "layers", "networks"], default="all")
    parser.add_argument("--only", default="", help="layers or networks whose name contains this")
    parser.add_argument("--isa", default="auto", help="auto, avx512, avx2, neon or portable")
    parser.add_argument("--library", type=Path, help="operator library; default: the one of this installation")
    parser.add_argument("--rounds", type=at_least_two, default=25)
    parser.add_argument("--json", type=Path, help="write all results here")
    return parser


@functools.cache
def built_here(source: Path) -> ctypes.CDLL:
    """A C++ file as a library. OSError without a compiler, CalledProcessError if it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"{source.stem}.so"
        options = ["-O3", "-std=c++17", "-pthread", "-shared", "-fPIC", "-I", ROOT / "runtime/native"]
        subprocess.run(["c++", *options, source, "-o", library], check=True)
        return ctypes.CDLL(str(library))


def measure_ceiling(isa: str) -> float:
    """GFLOP/s of register-only multiply-adds on this core."""
    function = built_here(ROOT / "runtime/native/tests/cpu/ceiling.cc").sanp_fma_ceiling
    function.restype = ctypes.c_double
    return float(function(isa.encode()))


def session(model: bytes, library: Library | None, threads: int = 1) -> ort.InferenceSession:
    """A CPU session with a fixed number of threads, with or without the operator library.

    One here: of two sessions in a process the waiting threads of one spin on the cores that the other needs, and dense
    networks looked no faster with two. benchmarks/peers stops the process of an engine that is not at its turn.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if library is not None:
        for key, value in library.entries.items():
            options.add_session_config_entry(key, value)
        options.register_custom_ops_library(str(library.path))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bound_run(session: ort.InferenceSession, feeds: dict) -> Callable[[], None]:
    """One inference with inputs already bound: handing 75 masks over from Python takes as long as a small layer."""
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output(session.get_outputs()[0].name)
    return lambda: session.run_with_iobinding(binding)


def interleaved_seconds(runs: list, rounds: int, batch_seconds: float = 4e-3) -> list[list[float]]:
    """Seconds per call of each function, in rounds that visit all of them, so that drift hits them alike.

    The clock is the processor time of the thread: another process on the core does not count.
    """
    clock = time.thread_time
    repeats = []
    for run in runs:
        run()
        begin = clock()
        run()
        repeats.append(max(1, math.ceil(batch_seconds / max(clock() - begin, 1e-7))))
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, repeat, kept in zip(runs, repeats, times):
            begin = clock()
            for _ in range(repeat):
                run()
            kept.append((clock() - begin) / repeat)
    return times


def spread(times: list[float]) -> dict:
    """Median and quartiles in microseconds."""
    q1, median, q3 = statistics.quantiles(times, n=4)
    return {"median_us": median * 1e6, "q1_us": q1 * 1e6, "q3_us": q3 * 1e6, "n": len(times)}


def require_equal(name: str, ours: np.ndarray, reference: np.ndarray) -> None:
    """Refuse to time a kernel that is wrong."""
    error = float(np.abs(ours - reference).max()) / max(1.0, float(np.abs(reference).max()))
    if not error < 1e-4:
        raise SystemExit(f"{name}: relative error {error:.2e} against the dense result; expected < 1e-4")


def bench_layer(layer: models.Layer, library: Library, ceiling: float, rounds: int) -> dict:
    """One layer: dense, and gated at every kept fraction."""
    rng = np.random.default_rng(1)
    weights = models.random_weights(layer, rng)
    dense = session(models.dense_layer(layer, weights), None)
    gated = session(models.gated_layer(layer, weights), library)
    x = rng.standard_normal((1, layer.ci, layer.size, layer.size), dtype=np.float32)
    runs, kept_macs = [bound_run(dense, {"x": x})], [layer.macs]
    for keep in KEEPS:
        scale = models.random_mask(layer.co, keep, rng)
        active = models.random_mask(layer.ci, keep if layer.ci > 3 else 1.0, rng)
        feeds = {"x": x * active[:, :, None, None], "scale": scale, "shift": np.zeros_like(scale), "active": active}
        reference = dense.run(None, {"x": feeds["x"]})[0] * scale[:, :, None, None]
        require_equal(f"{layer.name} keep {keep}", gated.run(None, feeds)[0], reference)
        runs.append(bound_run(gated, feeds))
        kept_macs.append(layer.macs * float(scale.mean()) * float(active.mean()))
    times = interleaved_seconds(runs, rounds)
    result = {
        "name": layer.name,
        "networks": layer.networks,
        "macs": layer.macs,
        "dense": spread(times[0]),
        "gated": [],
    }
    for keep, macs, measured in zip(KEEPS, kept_macs[1:], times[1:]):
        seconds = statistics.median(measured)
        ratio = statistics.median(times[0]) / seconds
        rate = 2e-9 * macs / seconds
        result["gated"].append(
            {"keep": keep, **spread(measured), "gflops": rate, "of_ceiling": rate / ceiling, "speedup": ratio,
             "efficiency": ratio * macs / layer.macs}
        )  # fmt: skip
    return result


def bench_network(name: str, library: Library, rounds: int) -> dict:
    """One network: dense, all masks open, and random masks per sample at the operating point of the paper."""
    network = models.NETWORKS[name]()
    rng = np.random.default_rng(1)
    dense = session(models.dense_network(network, np.random.default_rng(2)), None)
    gated = session(models.gated_network(network, np.random.default_rng(2)), library)
    x = rng.standard_normal((1, 3, network.size, network.size), dtype=np.float32)
    open_feeds = {"x": x, **models.network_masks(network, 1.0, rng)}
    require_equal(name, gated.run(None, open_feeds)[0], dense.run(None, {"x": x})[0])

    keep = models.keep_for_cost(network, OPERATING_POINTS[name])
    samples = [{"x": x, **models.network_masks(network, keep, rng)} for _ in range(8)]
    cost = float(np.mean([models.network_cost(network, s) for s in samples]))
    turns = itertools.cycle([bound_run(gated, s) for s in samples])
    runs = [bound_run(dense, {"x": x}), bound_run(gated, open_feeds), lambda: next(turns)()]  # noqa: PLW0108
    times = interleaved_seconds(runs, rounds)
    medians = [statistics.median(t) for t in times]
    return {
        "name": name, "macs": network.macs, "keep": keep, "cost": cost,
        "dense": spread(times[0]), "open": spread(times[1]), "gated": spread(times[2]),
        "open_over_dense": medians[1] / medians[0], "speedup": medians[0] / medians[2],
        "efficiency": medians[0] / medians[2] * cost,
    }  # fmt: skip


def print_layer(r: dict) -> None:
    """One line of the layer table."""
    cells = "  ".join(
        f"{g['keep']:.1f} {g['median_us']:7.1f} us {g['gflops']:5.1f} {g['of_ceiling']:4.0%} {g['speedup']:5.2f}x"
        for g in r["gated"]
    )
    print(f"{r['name']:<22} dense {r['dense']['median_us']:7.1f} us | {cells}", flush=True)


def print_network(r: dict) -> None:
    """One line of the network table."""
    print(
        f"{r['name']:<12} dense {r['dense']['median_us'] / 1e3:6.2f} ms"
        f"  all open {r['open']['median_us'] / 1e3:6.2f} ms ({r['open_over_dense'] - 1:+.1%})"
        f"  at {r['cost']:.1%} of the MACs {r['gated']['median_us'] / 1e3:6.2f} ms"
        f"  = {r['speedup']:.2f}x of {1 / r['cost']:.2f}x ({r['efficiency']:.0%})",
        flush=True,
    )


def main() -> int:
    """Command line."""
    parser = command_line(__doc__)
    parser.add_argument("--winograd", type=int, default=4, choices=[0, 2, 4], help="largest tile allowed, 0: none")
    args = parser.parse_args()

    library = Library(args.library, args.isa, winograd=args.winograd)
    ceiling = measure_ceiling(library.isa)
    report: dict = {
        **library.versions(), "ceiling_gflops": ceiling, "winograd": args.winograd, "layers": [], "networks": [],
    }  # fmt: skip
    print(f"{library.isa}, FMA ceiling {ceiling:.1f} GFLOP/s on one core, onnxruntime {ort.__version__}")
    if args.what in ("all", "layers"):
        for layer in models.layers():
            if any(args.only in n for n in (layer.name, *layer.networks)):
                report["layers"].append(bench_layer(layer, library, ceiling, args.rounds))
                print_layer(report["layers"][-1])
    if args.what in ("all", "networks"):
        for name in models.NETWORKS:
            if args.only in name:
                report["networks"].append(bench_network(name, library, args.rounds))
                print_network(report["networks"][-1])
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
