"""`--dynamic-size`: one bundle for images of any height and width, and what cannot be known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sanp
from benchmarks.zoo.journey import random_gates, settle
from sanp_runtime import load
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, ExportError, InputError
from tests.support.structures import SqueezeExcite, conv


class Fields(nn.Module):
    """A map of half the size, a map of the size of the image, and a vector."""

    def __init__(self):
        super().__init__()
        self.stem, self.block = conv(3, 16, 3, 2), SqueezeExcite(16, 24)
        self.wide, self.score = conv(16, 12), nn.Conv2d(12, 3, 1)

    def forward(self, x):
        y = self.block(self.stem(x))
        z = self.score(F.interpolate(self.wide(y), scale_factor=2.0))
        return {"half": y, "whole": z, "mean": z.mean((2, 3))}


def bundle_of_fields(folder, **sizes):
    """The network, images, and the folder that now holds net.onnx and net.sanp; sizes: settings of the export."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images = torch.randn(6, 3, 32, 32)
    network = Fields()
    settle(network, images)
    network = sanp.gate(network, images[:1])
    random_gates(network)
    network.eval()
    sanp.export(network, folder / "net.onnx", example_input=images[:1], images=images.numpy(), **sizes)
    sanp.compile(folder / "net.onnx", folder / "net.sanp")
    return network, images, folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return bundle_of_fields(tmp_path_factory.mktemp("any-size"), dynamic_size=True)


@pytest.mark.parametrize("library", ["bundle", None])
def test_every_size_gives_pytorchs_answers(made, library):
    network, _, folder = made
    with load(folder / "net.sanp", library=library) as engine:
        for size in ((32, 32), (64, 48), (16, 80), (34, 22)):
            x = torch.randn(3, 3, *size)
            with torch.no_grad():
                expected = network(x)
            result, call = engine(x.numpy()), engine.bind(x.numpy())
            call()
            for name, value in expected.items():
                np.testing.assert_allclose(result[name], value.numpy(), rtol=1e-4, atol=1e-4)
                np.testing.assert_array_equal(call.outputs[name], result[name])
            if size == (32, 32):
                assert (result.macs < engine.manifest.dense_macs).all()
            else:
                with pytest.raises(InputError, match="images of another size, so the cost"):
                    _ = result.macs


def test_the_manifest_says_what_depends_on_the_size(made):
    with load(made[2] / "net.sanp") as engine:
        assert engine.manifest.any_size and engine.manifest.input["shape"] == [3, 32, 32]
        assert [output.shape for output in engine.manifest.outputs] == [(16, None, None), (3, None, None), (3,)]
        with pytest.raises(InputError, match="any height"):
            engine(np.zeros((1, 2, 32, 32), np.float32))


def test_samples_of_the_bundle_are_validated_and_profiled(made):
    folder = made[2]
    assert self_test(folder / "net.sanp").passed and self_test(folder / "net.sanp", EngineOptions(library=None)).passed
    assert profile(folder / "net.sanp", duration_s=0.2).ratios.theoretical > 1


def test_a_folded_one_keeps_its_sizes(made, tmp_path):
    _, _, folder = made
    done = sanp.compile(folder / "net.onnx", tmp_path / "folded.sanp", fold=True, max_drop=1.0)
    assert self_test(done.bundle).passed
    with load(done.bundle.path) as engine:
        assert engine(np.ones((1, 3, 48, 64), np.float32))["half"].shape == (1, 16, 24, 32)


def test_what_needs_one_size_says_so(made, tmp_path):
    network, images, folder = made
    with pytest.raises(ConfigError, match=r"expected a list for engines of TensorRT.*--sizes"):
        sanp.compile(folder / "net.onnx", tmp_path / "trt.sanp", target="jetson-orin-nano")
    with pytest.raises(ConfigError, match="--tune races kernels for one"):
        sanp.compile(folder / "net.onnx", tmp_path / "tuned.sanp", tune=True)
    with pytest.raises(ExportError, match="counts for one size"):
        sanp.export(network, tmp_path / "n.onnx", example_input=images[:1], dynamic_size=True, macs=True)
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 2)).eval()
    with pytest.raises(ExportError, match="takes images of 32x32 and not of 96x96"):
        sanp.export(flat, tmp_path / "n.onnx", example_input=images[:1], dynamic_size=True)
