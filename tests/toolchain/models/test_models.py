"""Backbones: published MAC counts, shapes, the width rule and refusals."""

from __future__ import annotations

import pytest
import torch

from sanp import models
from sanp.cost.tracker import CostTracker
from sanp.models.vgg import Vgg
from sanp_runtime.network.macs import Convention, dense_macs
from sanp_targets.errors import ConfigError

IMAGE = torch.zeros(1, 3, 32, 32)


def dense(model, bias, heads, image=IMAGE):
    return dense_macs(CostTracker(model, image).layers, Convention(bias=bias, heads=heads))


@pytest.mark.parametrize(
    ("name", "classes", "bias", "heads", "expected"),
    [
        ("m-cifarnet", 10, 0, False, 174_299_904),
        ("vgg-19", 10, 1, True, 398_439_434),
        ("vgg-19", 100, 1, True, 398_485_604),
        ("resnet-18", 10, 0, False, 555_417_600),
    ],
)
def test_dense_macs_equal_the_published_count(name, classes, bias, heads, expected):
    assert dense(models.build(name, classes), bias, heads) == expected


@pytest.mark.parametrize(
    ("plan", "million"),
    [
        ([60, 64, "M", 128, 128, "M", 256, 255, 253, 245, "M", 436, 417, 425, 462, "M", 463, 465, 472, 424], 349.22),
        ([52, 64, "M", 128, 128, "M", 256, 254, 245, 214, "M", 179, 117, 116, 229, "M", 228, 220, 210, 111], 231.86),
    ],
)
def test_slimmed_vgg_tables(plan, million):
    assert dense(Vgg(plan), bias=1, heads=True) / 1e6 == pytest.approx(million, abs=0.005)


def test_vgg_at_uniform_width_is_the_fcp_row():
    assert dense(models.build("vgg-19", width=0.6), bias=1, heads=True) / 1e6 == pytest.approx(143.85, abs=0.005)


def test_vgg16_plan_a_of_l1_pruning():
    plan = [32, 64, "M", 128, 128, "M", 256, 256, 256, "M", 256, 256, 256, "M", 256, 256, 256]
    assert dense(Vgg(plan), bias=0, heads=False) == 206_143_488


def test_parameter_and_filter_counts():
    vgg = models.build("vgg-19")
    assert sum(p.numel() for p in vgg.parameters()) / 1e6 == pytest.approx(20.04, abs=0.005)
    assert vgg.features[1].weight[0].item() == 0.5
    convolutions = [m for m in models.build("m-cifarnet").modules() if isinstance(m, torch.nn.Conv2d)]
    assert sum(m.out_channels for m in convolutions[:-1]) == 1088


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("size", [16, 32, 48])
def test_any_image_size_gives_logits(name, size):
    model = models.build(name, num_classes=7, width=0.1, in_channels=1, image_size=size).eval()
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 7)


def test_width_rounds_half_up_and_never_to_zero():
    model = models.build("m-cifarnet", width=0.001)
    assert model.conv0.conv.out_channels == 1
    assert models.build("resnet-18", width=0.2578125).conv1.out_channels == 17  # 16.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "resnet-19"}, "m-cifarnet, vgg-19, resnet-18"),
        ({"name": "vgg-19", "width": 0}, "width"),
        ({"name": "vgg-19", "num_classes": 1}, "num_classes"),
        ({"name": "vgg-19", "image_size": 8}, "16 pixels"),
    ],
)
def test_refusals_name_the_value(arguments, says):
    with pytest.raises(ConfigError, match=says):
        models.build(**arguments)
