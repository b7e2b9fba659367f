"""The ONNX Runtime operators for CUDA: their adapter with kernels on the host everywhere, the library on a GPU."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.native import op_models as models
from tests.native import trt_build

pytestmark = pytest.mark.slow

NATIVE = trt_build.ROOT / "runtime/native"


@pytest.fixture(scope="module")
def on_cpu() -> Path:
    """The adapter over host kernels, registered for the CPU provider as well as for CUDA."""
    folder = trt_build.build(trt_build.ROOT / "build/ort-cuda-tests", source=NATIVE / "tests/ort")
    return folder / "libsanp_ops_cuda_on_cpu.so"


def session(model: bytes, library: Path, provider: str = "CPUExecutionProvider") -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model, options, providers=[provider])


def function_body(case) -> list[np.ndarray]:
    """The oracle: the same file without any library."""
    return models.session(case.model(), accelerated=False).run(None, case.feeds)


def assert_conv(case: models.ConvCase, got: np.ndarray, seed: int) -> None:
    atol = case.tolerance()
    np.testing.assert_allclose(
        got, function_body(case)[0], rtol=0, atol=atol, err_msg=f"seed {seed}: {case.attributes}"
    )


def assert_gate(case: models.GateCase, got: list[np.ndarray], seed: int) -> None:
    expected = function_body(case)
    np.testing.assert_array_equal(got[0] != 0, expected[0] != 0, err_msg=f"seed {seed}")
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=f"seed {seed}")


def test_gated_conv_equals_its_function(on_cpu):
    for seed in range(60):
        case = models.random_conv(np.random.default_rng([seed, 11]))
        assert_conv(case, session(case.model(), on_cpu).run(None, case.feeds)[0], seed)


def test_channel_gate_equals_its_function(on_cpu):
    for seed in range(60):
        case = models.random_gate(np.random.default_rng(seed))
        assert_gate(case, session(case.model(), on_cpu).run(None, case.feeds), seed)


def test_a_threshold_may_be_an_input(on_cpu):
    for seed in range(20):
        plain = models.random_gate(np.random.default_rng(seed))
        own = models.GateCase({**plain.attributes, "threshold": 0.75}, plain.constants, plain.feeds)
        one, other = plain.turned(0.75), session(own.model(), on_cpu).run(None, own.feeds)
        got = session(one.model(), on_cpu).run(None, one.feeds)
        assert [value.tobytes() for value in got] == [value.tobytes() for value in other], f"seed {seed}"
        assert_gate(one, got, seed)


def test_the_adapter_is_called_and_not_the_function(on_cpu, monkeypatch):
    """Without a device the adapter refuses, and says so; a function body would have answered."""
    case = models.random_conv(np.random.default_rng(1))
    monkeypatch.setenv("SANP_HOST_KERNELS_DEVICE", "none")
    with pytest.raises(Exception, match="SanpGatedConv: no CUDA device to plan for"):
        session(case.model(), on_cpu).run(None, case.feeds)


def test_bad_shapes_are_explained_as_on_the_cpu(on_cpu):
    """The checks are shared: the message is that of libsanp_ops."""
    case = models.random_conv(np.random.default_rng(2))
    feeds = {**case.feeds, "in_active": np.ones((1, 1 + case.feeds["in_active"].shape[1]), np.float32)}
    messages = []
    for one in (session(case.model(), on_cpu), models.session(case.model())):
        with pytest.raises(Exception, match="input 'in_active' has shape") as error:
            one.run(None, feeds)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_empty_batch(on_cpu):
    case = models.random_conv(np.random.default_rng(4))
    feeds = {k: (v[:0] if k == "x" else v[:1]) for k, v in case.feeds.items()}
    feeds["residual"] = np.zeros(1, np.float32)
    assert session(case.model(), on_cpu).run(None, feeds)[0].shape[0] == 0
    gate = models.random_gate(np.random.default_rng(4))
    feeds = {"x": gate.feeds["x"][:0], "mask": gate.feeds["mask"][:1]}
    assert [y.shape[0] for y in session(gate.model(), on_cpu).run(None, feeds)] == [0, 0]


def test_one_session_serves_many_shapes_from_many_threads(on_cpu):
    """More batches than plans are kept, at once: plans are not mixed up, and scratch memory is each run's own."""
    case = models.random_conv(np.random.default_rng(5))
    one = session(case.model(), on_cpu)
    constant = {"residual": np.zeros(1, np.float32)}
    row = {k: case.feeds[k][:1] for k in ("scale", "shift", "in_active")}
    batches = [np.repeat(case.feeds["x"][:1], n, axis=0) for n in range(1, 25)]
    expected = one.run(None, {"x": batches[0], **row, **constant})[0]
    errors: list[str] = []

    def work(first: int) -> None:
        for i in range(40):
            x = batches[(first + i) % len(batches)]
            got = one.run(None, {"x": x, **row, **constant})[0]
            if not np.array_equal(got, np.repeat(expected, len(x), axis=0)):
                errors.append(f"batch {len(x)}")

    threads = [threading.Thread(target=work, args=(7 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_second_library_of_the_domain_is_refused(on_cpu):
    """Why libsanp_ops_cuda has the operators of both providers. If this fails, they may be registered side by side."""
    case = models.random_conv(np.random.default_rng(6))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(models.find_library()))
    options.register_custom_ops_library(str(on_cpu))
    with pytest.raises(Exception, match="Domain already set"):
        ort.InferenceSession(case.model(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def real() -> Path:
    """libsanp_ops_cuda.so, compiled for the GPU of this machine."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip(f"onnxruntime {ort.__version__} has no CUDA provider here; install onnxruntime-gpu")
    if shutil.which("nvcc") is None and not Path("/usr/local/cuda/bin/nvcc").is_file():
        pytest.skip("nvcc is missing; install the CUDA toolkit")
    folder = trt_build.build(trt_build.ROOT / "build/ort-cuda", source=NATIVE / "ort/cuda", target="sanp_ops_cuda")
    return folder / "libsanp_ops_cuda.so"


@pytest.mark.gpu
def test_on_a_gpu(real):
    for seed in range(60):
        conv = models.random_conv(np.random.default_rng([seed, 12]))
        one = session(conv.model(), real, "CUDAExecutionProvider")
        assert one.get_providers()[0] == "CUDAExecutionProvider"
        assert_conv(conv, one.run(None, conv.feeds)[0], seed)
        gate = models.random_gate(np.random.default_rng(1000 + seed))
        assert_gate(gate, session(gate.model(), real, "CUDAExecutionProvider").run(None, gate.feeds), seed)
