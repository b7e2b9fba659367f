"""Time the gated CUDA kernels against cuDNN's dense convolution, layer by layer.

    python -m benchmarks.gpu.gated_layers --json results.json                 # everything; needs a CUDA GPU and PyTorch
    python -m benchmarks.gpu.gated_layers --network resnet18 --image 224 --batch 1 --element float16 --tune

Dense is convolution and ReLU: PyTorch's two calls in NCHW and channels_last, and cuDNN's fused call. Gated is our
kernel with random masks of each sample on both sides, ReLU included, writing zeros for what is masked. Our result is
checked before it is timed. --tune times every plan of the library instead of trusting its cost model.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import subprocess
from collections.abc import Callable
from ctypes import byref
from pathlib import Path

import torch

from benchmarks.command_line import json_parser, write_json
from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32, HWIO, Conv, ConvTensors, CudaLibrary, Plan, describe
from benchmarks.gpu.tables import Measurement, table
from benchmarks.gpu.timing import race
from benchmarks.networks.resnets import BLOCKS, distinct_layers
from benchmarks.networks.shapes import Layer

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "cuda"
ELEMENTS = {"float16": (torch.float16, FLOAT16), "float32": (torch.float32, FLOAT32)}


def current_stream() -> ctypes.c_void_p:
    """The stream that PyTorch uses now; during a capture it is another one."""
    return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)


class GatedLayer:
    """Tensors of one layer on the device, with the given fraction of channels open on both sides."""

    def __init__(self, library: CudaLibrary, layer: Layer, batch: int, element: str, keep: float) -> None:
        dtype, kind = ELEMENTS[element]
        self.library, self.layer = library, layer
        self.conv: Conv = describe(
            layer.c_in, layer.c_out, layer.size, kernel=layer.kernel, stride=layer.stride, batch=batch, type=kind,
            weight_order=HWIO, scale_rows=batch, shift_rows=batch, active_rows=batch,
        )  # fmt: skip
        # A stem reads an image: all of its inputs are open.
        self.active = self._mask(batch, layer.c_in, 1.0 if layer.c_in == 3 else keep)
        self.scale = self._mask(batch, layer.c_out, keep)
        self.shift = torch.zeros_like(self.scale)
        x = torch.randn(batch, layer.c_in, layer.size, layer.size, device=DEVICE)
        w = torch.randn(layer.c_out, layer.c_in, layer.kernel, layer.kernel, device=DEVICE)
        self.x = (x * self.active[..., None, None]).to(dtype)
        self.w = (w / (layer.c_in * layer.kernel**2) ** 0.5).to(dtype)
        self.w_hwio = self.w.permute(2, 3, 1, 0).contiguous()
        self.residual = torch.zeros(1, device=DEVICE, dtype=dtype)
        self.y = torch.empty(batch, layer.c_out, layer.out, layer.out, device=DEVICE, dtype=dtype)

    @staticmethod
    def _mask(rows: int, n: int, keep: float) -> torch.Tensor:
        """[rows, n] with the same number of ones in every row, at random places."""
        order = torch.rand(rows, n, device=DEVICE).argsort(1)
        return (order < max(1, round(keep * n))).float()

    def gated(self, plan: Plan) -> Callable[[], None]:
        """A call that launches our kernel on the current stream."""
        handle = self.library.handle
        size = handle.sanp_cuda_conv_workspace(byref(self.conv), byref(plan))
        workspace = torch.empty(max(size, 1), dtype=torch.uint8, device=DEVICE)
        tensors = ConvTensors(*(t.data_ptr() for t in (self.x, self.w_hwio, self.scale, self.shift, self.active,
                                                       self.residual, self.y)))  # fmt: skip

        def run() -> None:
            pointer = ctypes.c_void_p(workspace.data_ptr())
            arguments = (byref(self.conv), byref(plan), byref(tensors), pointer, current_stream())
            self.library.require(handle.sanp_cuda_conv(*arguments))

        return run

    def dense(self) -> dict[str, Callable[[], torch.Tensor]]:
        """The ways to compute the layer with all channels."""
        layer, functional = self.layer, torch.nn.functional
        x_last, w_last = (t.contiguous(memory_format=torch.channels_last) for t in (self.x, self.w))
        bias = torch.zeros(layer.c_out, device=DEVICE, dtype=self.x.dtype)
        geometry = ((layer.stride,) * 2, (layer.pad,) * 2, (1, 1), 1)

        def plain(x: torch.Tensor, w: torch.Tensor) -> Callable[[], torch.Tensor]:
            return lambda: functional.conv2d(x, w, None, *geometry).relu_()

        return {
            "conv+relu NCHW": plain(self.x, self.w),
            "conv+relu channels_last": plain(x_last, w_last),
            "fused channels_last": lambda: torch.cudnn_convolution_relu(x_last, w_last, bias, *geometry),
        }

    def check(self, plan: Plan) -> None:
        """Our result against the dense one, masked."""
        self.y.fill_(float("nan"))
        self.gated(plan)()
        expected = torch.nn.functional.conv2d(
            self.x.double(), self.w.double(), None, self.layer.stride, self.layer.pad
        ).relu_()
        expected *= self.scale[..., None, None]
        error = float((self.y.double() - expected).abs().max())
        # Outputs are of the size of one; sums of at most 4608 products round at 2^-24, a half at 2^-11.
        limit = (2e-2 if self.y.dtype == torch.float16 else 1e-3) * max(1.0, float(expected.abs().max()))
        if not error <= limit:
            raise SystemExit(
                f"{self.layer.name}, {self.library.describe(plan)}: the kernel is off by {error:.3g}, expected less "
                f"than {limit:.3g}; run make test-gpu"
            )


def measure(library: CudaLibrary, layer: Layer, networks: list[str], batch: int, element: str,
            options: argparse.Namespace) -> Measurement:  # fmt: skip
    """All kept fractions of one layer."""
    device, gated_us, plans, dense_us = library.device(), {}, {}, {}
    for keep in options.keep:
        problem = GatedLayer(library, layer, batch, element, keep)
        chosen = library.candidates(problem.conv, device)[: None if options.tune else 1]
        for plan in chosen:
            problem.check(plan)
        runs = {library.describe(plan): problem.gated(plan) for plan in chosen}
        if not dense_us:
            runs |= problem.dense()
        times = race(runs, options.rounds, options.launches, not options.no_graph)
        ours = {name: times[name] for name in map(library.describe, chosen)}
        plans[keep] = min(ours, key=lambda name: ours[name])
        gated_us[keep] = ours[plans[keep]]
        dense_us = dense_us or {name: t for name, t in times.items() if name not in ours}
    return Measurement(layer.name, networks, element, batch, batch * layer.macs, dense_us, gated_us, plans)


def conditions(library: CudaLibrary, options: argparse.Namespace) -> dict:
    """Device, versions and settings that a reader needs to repeat or to doubt the numbers."""
    properties = torch.cuda.get_device_properties(0)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return {
        "device": properties.name, "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count, "driver_and_clocks": driver or "not known",
        "torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        "abi": library.handle.sanp_cuda_abi_version(), "host": platform.machine(), "tf32": False,
        "graph": not options.no_graph, "tuned": options.tune, "rounds": options.rounds, "launches": options.launches,
    }  # fmt: skip


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    made = json_parser(__doc__)
    made.add_argument("--library", default=os.environ.get("SANP_CUDA_LIBRARY", ROOT / "build/cuda-gpu/libsanp_cuda.so"))
    made.add_argument("--network", nargs="+", choices=list(BLOCKS), default=list(BLOCKS))
    made.add_argument("--image", nargs="+", type=int, default=[224, 32])
    made.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    made.add_argument("--element", nargs="+", choices=list(ELEMENTS), default=list(ELEMENTS))
    made.add_argument("--keep", nargs="+", type=float, default=[1.0, 0.7, 0.5, 0.3, 0.2])
    made.add_argument("--rounds", type=int, default=21)
    made.add_argument("--launches", type=int, default=20, help="per turn, in one graph")
    made.add_argument("--no-graph", action="store_true", help="launch from Python instead of replaying a CUDA graph")
    made.add_argument("--tune", action="store_true", help="time every plan, not only the one the cost model prefers")
    return made.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the JSON."""
    options = parse(arguments)
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device was found; this benchmark needs one (the tests of its parts do not)")
    if not Path(options.library).exists():
        raise SystemExit(f"{options.library} was not found; run make test-gpu, which builds it, or pass --library")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    library = CudaLibrary(Path(options.library))
    found = {"conditions": conditions(library, options), "measurements": []}
    measured = []
    for layer, networks in distinct_layers(options.network, options.image).items():
        for element in options.element:
            for batch in options.batch:
                measured.append(measure(library, layer, networks, batch, element, options))
                found["measurements"].append(measured[-1].as_json())
                print(table(measured[-1:]).splitlines()[-1], flush=True)
                write_json(options.json, found)
    print(json.dumps(found["conditions"], indent=1))
    print(table(measured))


if __name__ == "__main__":
    main()
