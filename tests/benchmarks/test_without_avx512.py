"""A benchmark without AVX-512: what is changed in ONNX Runtime, what is refused, and the proof that none of it ran."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from benchmarks import wide_registers, without_avx512
from benchmarks.networks.graphs import dense_layer, random_weights
from benchmarks.networks.shapes import Layer
from benchmarks.without_avx512 import ANSWER, CLEAR_ECX, CPUID, XGETBV
from sanp_targets.device import fingerprint

ROOT = Path(__file__).parents[2]
HERE = "avx512" in str(fingerprint()["isa"]) and sys.platform == "linux"
WHERE_IT_RUNS = pytest.mark.skipif(not HERE, reason="needs Linux on a processor with AVX-512")

# A convolution wide enough for every kernel of ONNX Runtime, and whether it used AVX-512.
PROBE = """
import numpy as np
from benchmarks import wide_registers
from benchmarks.networks.graphs import dense_layer, random_weights
from benchmarks.networks.shapes import Layer
from benchmarks.sessions import bound_run, session
layer = Layer(64, 64, 28)
rng = np.random.default_rng(0)
made = session(dense_layer(layer, random_weights(layer, rng)))
run = bound_run(made, {"x": rng.standard_normal((1, 64, 28, 28), dtype=np.float32)})
print(wide_registers.used(run), wide_registers.used(lambda: None))
"""


def test_only_the_question_is_answered():
    code = b"\x90" * 9 + CPUID + b"\x89\xc8" + CLEAR_ECX + XGETBV + b"\xc3" + XGETBV
    changed = without_avx512.answered(code, "library")
    assert changed == b"\x90" * 9 + CPUID + b"\x89\xc8" + CLEAR_ECX + ANSWER + b"\xc3" + XGETBV
    assert len(ANSWER) == len(XGETBV)


@pytest.mark.parametrize(
    "code, why",
    [
        (CPUID + XGETBV, "does not ask for saved registers as expected"),
        (b"\x90" * 99 + CLEAR_ECX + XGETBV, "XGETBV has no CPUID"),
        (CPUID + CLEAR_ECX + XGETBV + b"\x90" * 99 + CLEAR_ECX + XGETBV, "at 0x6a XGETBV"),
    ],
)
def test_another_build_is_refused(code, why):
    with pytest.raises(SystemExit, match=why):
        without_avx512.answered(code, "library")


def test_a_package_without_its_extension_is_refused(tmp_path):
    (tmp_path / "onnxruntime/capi").mkdir(parents=True)
    with pytest.raises(SystemExit, match="0 files are called"):
        without_avx512.copied(tmp_path / "onnxruntime", tmp_path / "copy")


def test_nothing_is_asked_of_a_benchmark_that_may_use_everything(monkeypatch):
    monkeypatch.delenv(wide_registers.DEMANDED, raising=False)
    monkeypatch.setattr(wide_registers, "used", lambda run: pytest.fail("was asked for"))
    ran = []
    wide_registers.run_once(lambda: ran.append(1))
    assert ran == [1]


def test_a_function_that_used_avx512_is_not_timed(monkeypatch):
    monkeypatch.setenv(wide_registers.DEMANDED, "1")
    for found in (True, False):
        monkeypatch.setattr(wide_registers, "used", lambda run, found=found: found)
        if found:
            with pytest.raises(SystemExit, match="--isa avx2"):
                wide_registers.run_once(lambda: None)
        else:
            wide_registers.run_once(lambda: None)


@pytest.mark.slow
@WHERE_IT_RUNS
def test_onnx_runtime_keeps_to_avx2_in_the_copy_and_only_there(tmp_path):
    """The registers tell both: without the change the same layer is found to use AVX-512."""
    import onnxruntime

    without_avx512.copied(Path(onnxruntime.__file__).parent, tmp_path)
    places = {"changed": [str(tmp_path)], "as installed": []}
    answers = {}
    for name, first in places.items():
        paths = os.pathsep.join([*first, *(path for path in sys.path if path)])
        environment = {**without_avx512.environment(tmp_path), "PYTHONPATH": paths}
        command = [sys.executable, "-c", PROBE]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)
        assert run.returncode == 0, run.stderr
        answers[name] = run.stdout.split()
    assert answers == {"changed": ["False", "False"], "as installed": ["True", "False"]}


@pytest.mark.slow
@pytest.mark.skipif(
    util.find_spec("openvino") is None or not HERE, reason="needs OpenVINO, and AVX-512 to be kept from"
)
def test_convolutions_of_openvino_say_what_they_are(tmp_path, monkeypatch):
    """Demanded of a process that nobody has told oneDNN about, so that it uses what the processor has."""
    from benchmarks.peers.engines import OpenVino

    layer, rng = Layer(64, 64, 28), np.random.default_rng(0)
    model = tmp_path / "layer.onnx"
    model.write_bytes(dense_layer(layer, random_weights(layer, rng)))
    feeds = [{"x": rng.standard_normal((1, 64, 28, 28), dtype=np.float32)}]
    monkeypatch.delenv(wide_registers.DEMANDED, raising=False)
    OpenVino(model, feeds, 1).run(0)
    monkeypatch.setenv(wide_registers.DEMANDED, "1")
    with pytest.raises(RuntimeError, match=r"computed by .*avx512"):
        OpenVino(model, feeds, 1)
