"""One library and one model file on every ONNX Runtime: the oldest supported release and some between it and ours."""

import json
import os
import subprocess
import sys

import pytest

from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.int8 import quantise
from sanp.pipeline.export import export
from sanp.pipeline.tune.race import with_algorithms
from sanp_export.graph import model_file

pytestmark = pytest.mark.slow

# 1.17 is the oldest with ParallelFor for custom operators; 1.23 the last that crashes on a hole in the input list.
VERSIONS = {"1.17.3": "numpy==1.26.4", "1.20.1": "numpy==1.26.4", "1.23.2": "numpy==2.2.6"}

CHECK = """
import json, sys
import numpy, onnxruntime
from sanp_runtime import (load)
from sanp_runtime.bundle.reader import (open_bundle)
from sanp_runtime.validate import (self_test)
bundle = open_bundle(sys.argv[1])
result = self_test(bundle)
x = bundle.reference().x
with load(sys.argv[1]) as fast, load(sys.argv[1], library=None) as slow:
    passed = fast.proof().require().passed
    masks = {name: numpy.zeros((1, bundle.manifest.layer(name).c_out), "f") for name in fast.gated[1:2]}
    runs = [(m, b) for m in (None, masks) for b in (1.0, 0.7)]
    difference = max(float(abs(fast(x, m, b).logits - slow(x, m, b).logits).max()) for m, b in runs)
    share = float(fast(x, budget=0.7).macs.mean() / fast(x).macs.mean())
# A session's configuration reaches the library: it refuses what it does not know.
options = onnxruntime.SessionOptions()
options.add_session_config_entry("sanp.isa", "none of these")
try:
    options.register_custom_ops_library(str(bundle.library()))
    refused = ""
except Exception as error:
    refused = str(error)
with load(sys.argv[1], isa="portable") as portable:
    isa = portable.proof().require().isa
# The operators on bytes: every byte one step at most from standard operators, in this release too.
int8 = self_test(open_bundle(sys.argv[2]))
with load(sys.argv[2]) as bytes_:
    bytes_.proof().require()
answer = {"int8": int8.passed, "steps": int8.replay.steps, "self_test": result.passed, "proof": passed}
answer.update(difference=difference, refused=refused, isa=isa, share=share)
print(json.dumps({"version": onnxruntime.__version__, **answer}))
"""


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    export(trained, folder / "model.onnx", samples=8)
    model = model_file.read(folder / "model.onnx")
    # The function of the operator does not declare this attribute: every release must take it all the same.
    model_file.write(
        with_algorithms(model, {layer.name: "rows" for layer in model_file.layers_of(model)}), folder / "model.onnx"
    )
    return compile_model(folder / "model.onnx", folder / "model.sanp", budgets=(0.7,)).bundle


@pytest.fixture(scope="module")
def int8_bundle(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions-int8")
    export(trained, folder / "model.onnx", samples=48)
    with pytest.MonkeyPatch.context() as patch:  # results do not depend on the processor
        patch.setattr(quantise, "processor", lambda: {"isa": ["avx512_vnni", "avx512_vbmi2"]})
        return compile_model(folder / "model.onnx", folder / "model.sanp", int8=True, max_drop=1.0).bundle


@pytest.mark.parametrize("version", list(VERSIONS))
def test_bundle_runs_accelerated_on(version, bundle, int8_bundle, tmp_path):
    if sys.version_info[:2] > (3, 12) and version == "1.17.3":
        pytest.skip(f"ONNX Runtime {version} has no build for Python {sys.version_info[0]}.{sys.version_info[1]}")
    packages = [f"onnxruntime=={version}", VERSIONS[version]]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    installed = subprocess.run([*pip, *packages], capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode:
        pytest.skip(f"cannot install {packages}: {installed.stderr.strip().splitlines()[-1]}")
    path = os.pathsep.join([str(tmp_path / "site"), *(item for item in sys.path if item)])
    run = subprocess.run(
        [sys.executable, "-c", CHECK, str(bundle.path), str(int8_bundle.path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["version"] == version, "the old release was really the one that ran"
    assert answer["self_test"] and answer["proof"]
    assert answer["int8"] and set(answer["steps"]) == set(int8_bundle.manifest.int8["layers"])
    assert answer["difference"] < 1e-4 and answer["share"] <= 0.7
    assert "'sanp.isa' is 'none of these'" in answer["refused"] and answer["isa"] == "portable"
