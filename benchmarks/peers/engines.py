"""The engines behind one interface: load a file, run input set number i, say the logits and the settings in force.

A worker process imports exactly one of these runtimes. Every class takes the model, the input sets (a list of
dictionaries, the image under "x") and the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.wide_registers import demanded

Feeds = list[dict[str, np.ndarray]]


class OnnxRuntime:
    """ONNX Runtime's CPU provider, inputs bound once; with `library` our operators run in our kernels."""

    # Whether a benchmark without AVX-512 asks the registers; otherwise the engine has checked its kernels by name.
    registers_tell = True

    def __init__(self, model: Path, feeds: Feeds, threads: int, library: Path | None = None, isa: str = "auto") -> None:
        import onnxruntime

        from benchmarks.sessions import Library, bound_run, session

        self.settings = {"version": f"onnxruntime {onnxruntime.__version__}", "intra_op_num_threads": threads}
        entries: Mapping[str, str] = {}
        if library is not None:
            ours = Library(library, isa)
            entries = ours.entries()
            self.settings |= {"sanp": ours.version, "isa": ours.isa}
        self._feeds = feeds
        self._session = session(model.read_bytes(), library, threads, entries)
        self._runs: list[Callable[[], None]] = [bound_run(self._session, feed) for feed in feeds]

    def run(self, index: int) -> None:
        """One inference on input set `index`."""
        self._runs[index]()

    def logits(self, index: int) -> np.ndarray:
        """The answer to input set `index`, float32 [N, classes]."""
        return self._session.run(None, self._feeds[index])[0]


class OpenVino:
    """OpenVINO's CPU plugin, latency hint, one stream. Float files run in float32, bfloat16 is ruled out.

    Without AVX-512 all its convolutions must say that they have none, or RuntimeError; the last pooling and the
    classifier, below 1 % of the work, have it whatever oneDNN is told.
    """

    registers_tell = False

    def __init__(self, model: Path, feeds: Feeds, threads: int) -> None:
        import openvino as ov

        wanted = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = ov.Core().compile_model(str(model), "CPU", wanted)
        in_force = {key: str(compiled.get_property(key)) for key in (*wanted, "ENABLE_CPU_PINNING")}
        self.settings = {"version": f"openvino {ov.__version__}", **in_force}
        kernels = sorted(_convolutions(compiled)) if demanded() else []
        if any("avx512" in kernel for kernel in kernels):
            raise RuntimeError(f"{model.name}: convolutions are computed by {', '.join(kernels)}, expected no AVX-512")
        self._request = compiled.create_infer_request()
        self._tensors = [ov.Tensor(np.ascontiguousarray(feed["x"]), shared_memory=True) for feed in feeds]

    def run(self, index: int) -> None:
        """One inference on input set `index`."""
        self._request.set_input_tensor(self._tensors[index])
        self._request.infer()

    def logits(self, index: int) -> np.ndarray:
        """The answer to input set `index`, float32 [N, classes]."""
        self.run(index)
        return np.array(self._request.get_output_tensor().data)


def _convolutions(compiled: Any) -> set[str]:
    """Names of the kernels that compute the convolutions of a compiled model."""
    known = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return {info["primitiveType"].astype(str) for info in known if "Convolution" in info["layerType"].astype(str)}


class Ncnn:
    """ncnn in float32: all 16-bit storage and arithmetic off, Winograd on as by default, its own pool allocators."""

    registers_tell = True

    def __init__(self, model: Path, feeds: Feeds, threads: int) -> None:
        import ncnn

        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        for name in dir(options):
            if name.startswith(("use_fp16", "use_bf16", "use_int8", "use_vulkan")):
                setattr(options, name, False)
        # As in ncnn's own benchmark; without them every layer asks the system for memory.
        self._allocators = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        options.blob_allocator, options.workspace_allocator = self._allocators
        if self._net.load_param(str(model)) or self._net.load_model(str(model.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn cannot load {model.name}")
        winograd = options.use_winograd_convolution
        self.settings = {"version": f"ncnn {ncnn.__version__}", "num_threads": threads, "winograd": winograd}
        self._images = [np.ascontiguousarray(feed["x"]) for feed in feeds]
        self._mats = [ncnn.Mat(x, batch_index=0) if len(x) > 1 else ncnn.Mat(x[0]) for x in self._images]

    def _extract(self, index: int) -> object:
        with self._net.create_extractor() as extractor:
            extractor.input("in0", self._mats[index])
            return extractor.extract("out0")[1]

    def run(self, index: int) -> None:
        """One inference on input set `index`."""
        self._extract(index)

    def logits(self, index: int) -> np.ndarray:
        """The answer to input set `index`, float32 [N, classes]."""
        batch = len(self._images[index])
        answer = self._extract(index)
        values = answer.numpy(batch_index=0) if batch > 1 else answer.numpy()  # type: ignore[attr-defined]
        return np.array(values).reshape(batch, -1)


RUNTIMES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn}
