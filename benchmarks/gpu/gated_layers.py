"""Time the gated CUDA kernels against cuDNN's dense convolution, layer by layer.

    python -m benchmarks.gpu.gated_layers --json results.json                 # everything; needs a CUDA GPU and PyTorch
    python -m benchmarks.gpu.gated_layers --network resnet18 --image 224 --batch 1 --element float16 --tune

Dense is convolution and ReLU: PyTorch's two calls in NCHW and channels_last, and cuDNN's fused call. Gated is our
kernel with random masks of each sample on both sides, ReLU included, writing zeros for what is masked. Our result is
checked before it is timed. --tune times every plan of the library instead of trusting its cost model.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch

from benchmarks.command_line import json_parser, write_json
from benchmarks.gpu.layer_case import ELEMENTS
from benchmarks.gpu.layer_measure import How, measure
from benchmarks.gpu.place import Gpu
from benchmarks.gpu.tables import table
from benchmarks.networks.resnets import BLOCKS, distinct_layers

ROOT = Path(__file__).resolve().parents[2]


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
    made.add_argument("--tune", action="store_true", help="time every plan, not only the one the cost model prefers")
    return made.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table, writes the JSON."""
    options = parse(arguments)
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device was found; this benchmark needs one (the tests of its parts do not)")
    if not Path(options.library).exists():
        raise SystemExit(f"{options.library} was not found; run make test-gpu, which builds it, or pass --library")
    torch.manual_seed(0)
    os.environ["SANP_CUDA_LIBRARY"] = str(options.library)
    place = Gpu(Path("build"))
    how = How(dict.fromkeys(options.keep, 0 if options.tune else 1), options.rounds, options.launches)
    abi = place.library.handle.sanp_cuda_abi_version()
    conditions = {**place.facts(), "abi": abi, "tuned": options.tune, "rounds": how.rounds, "launches": how.launches}
    found = {"conditions": conditions, "measurements": []}
    measured = []
    for layer, networks in distinct_layers(options.network, options.image).items():
        for element in options.element:
            for batch in options.batch:
                one = measure(place, layer, networks, batch, element, how)
                measured.append(one.measurement)
                found["measurements"].append(one.as_json())
                print(table(measured[-1:]).splitlines()[-1], flush=True)
                write_json(options.json, found)
    print(json.dumps(found["conditions"], indent=1))
    print(table(measured))


if __name__ == "__main__":
    main()
