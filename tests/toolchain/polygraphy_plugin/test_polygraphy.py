"""`polygraphy run` with our runners, through the entry point, as its users type it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from tests.support.checkpoints import make_checkpoint

pytest.importorskip("polygraphy", reason="polygraphy is not installed: pip install '.[polygraphy]'")
ROOT = Path(__file__).parents[3]
tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a checkpoint, its model and bundle, and the package's metadata as an installation has them."""
    folder = tmp_path_factory.mktemp("polygraphy")
    make_checkpoint(folder / "net.safetensors")
    make_checkpoint(folder / "other.safetensors", seed=1)
    export(folder / "net.safetensors", folder / "net.onnx", samples=8)
    compile_model(folder / "net.onnx", folder / "net.sanp")
    group = "polygraphy.run.plugins"
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][group]
    metadata = folder / "installed" / "sanp_plugin_under_test-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sanp-plugin-under-test\nVersion: 0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    return folder


def polygraphy(folder, *words):
    paths = [ROOT / name for name in ("toolchain", "export", "runtime", "targets")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [folder / "installed", *paths]))}
    program = "import sys; from polygraphy.tools import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "run", "net.onnx", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_bundle_agrees_with_pytorch_and_with_onnxruntime(place):
    done = polygraphy(
        place, "--onnxrt", "--sanp", "--sanp-bundle", "net.sanp", "--sanp-torch", "--sanp-checkpoint",
        "net.safetensors", "--atol", "1e-4", "--rtol", "1e-3", "--iterations", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sanp-bundle" in done.stdout and "sanp-torch" in done.stdout and "gate.conv0.conv" in done.stdout
    assert "PASSED" in done.stdout


def test_another_network_fails(place):
    words = ("--sanp", "--sanp-bundle", "net.sanp", "--sanp-torch", "--sanp-checkpoint", "other.safetensors")
    done = polygraphy(place, *words, "--atol", "1e-4")
    assert done.returncode != 0 and "FAILED" in done.stdout + done.stderr


@pytest.mark.parametrize(("flag", "needed"), [("--sanp", "--sanp-bundle"), ("--sanp-torch", "--sanp-checkpoint")])
def test_a_runner_without_its_file_is_told_which_option_is_missing(place, flag, needed):
    done = polygraphy(place, flag)
    assert done.returncode != 0 and f"name it with {needed}" in done.stdout + done.stderr
