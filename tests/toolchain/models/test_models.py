"""Backbones: published MAC counts, shapes, the width rule and refusals."""

from __future__ import annotations

import pytest
import torch

from sanp import models
from sanp.cost.tracker import CostTracker
from sanp.methods.registry import gate
from sanp.models.vgg import VGG16_PLAN, Vgg
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
        ("resnet-20-a", 10, 0, True, 40_551_040),
        ("resnet-32-a", 10, 0, True, 68_862_592),
        ("resnet-56-a", 10, 0, True, 125_485_696),
        ("resnet-110-a", 10, 0, True, 252_887_680),
        ("resnet-20", 10, 0, True, 40_813_184),
        ("resnet-32", 10, 0, True, 69_124_736),
        ("resnet-56", 10, 0, True, 125_747_840),
        ("resnet-110", 10, 0, True, 253_149_824),
        ("vgg-16", 10, 0, False, 313_196_544),
        ("vgg-16", 10, 0, True, 313_463_808),
    ],
)
def test_dense_macs_equal_the_published_count(name, classes, bias, heads, expected):
    assert dense(models.build(name, classes), bias, heads) == expected


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("imagenet-resnet-18", 1_814_073_344, 11_689_512),
        ("imagenet-resnet-34", 3_663_761_408, 21_797_672),
        ("imagenet-resnet-50", 4_089_184_256, 25_557_032),
        ("imagenet-mobilenet-v2", 300_774_272, 3_504_872),
    ],
)
def test_imagenet_forms_have_the_public_counts(name, macs, parameters):
    """At 224 pixels and 1000 classes: convolutions and head, no biases; parameters as other libraries have them."""
    model = models.build(name, 1000)
    assert dense(model, bias=0, heads=True, image=torch.zeros(1, 3, 224, 224)) == macs
    assert sum(value.numel() for value in model.parameters()) == parameters


def widths_of_resnet(network, first, second, stem=16):
    """Set the widths of a CIFAR ResNet: first convolutions of all blocks, and the streams of the three stages."""
    blocks = [block for stage in (1, 2, 3) for block in network.get_submodule(f"layer{stage}")]
    streams = [width for width in second for _ in range(len(blocks) // 3)]
    before = stem
    network.conv1.out_channels = stem
    for block, inner, after in zip(blocks, first, streams):
        for conv, sizes in ((block.conv1, (before, inner)), (block.conv2, (inner, after))):
            conv.weight = torch.nn.Parameter(torch.zeros(sizes[1], sizes[0], 3, 3))
        if not isinstance(block.shortcut, torch.nn.Identity) and list(block.shortcut.parameters()):
            block.shortcut[0].weight = torch.nn.Parameter(torch.zeros(after, before, 1, 1))
            block.shortcut[1] = torch.nn.BatchNorm2d(after)
        block.bn1, block.bn2 = torch.nn.BatchNorm2d(inner), torch.nn.BatchNorm2d(after)
        before = after
    network.head = torch.nn.Linear(before, 10)
    return network


def l1_plan_of_resnet56(skip, shares):
    """Widths of the first convolutions of the 27 blocks; convolutions are numbered 1 to 55, those are the even ones."""
    full = [16] * 9 + [32] * 9 + [64] * 9
    return [
        width if 2 + 2 * index in skip else int(width * (1 - shares[index // 9])) for index, width in enumerate(full)
    ]


@pytest.mark.parametrize(
    ("skip", "shares", "percent"),
    [({16, 20, 38, 54}, (0.1, 0.1, 0.1), 10.40), ({16, 18, 20, 34, 38, 54}, (0.6, 0.3, 0.1), 27.56)],
)
def test_resnet56_plans_a_and_b_of_l1_pruning(skip, shares, percent):
    network = widths_of_resnet(models.build("resnet-56-a"), l1_plan_of_resnet56(skip, shares), (16, 32, 64))
    assert 100 * (1 - dense(network, 0, True) / 125_485_696) == pytest.approx(percent, abs=0.005)


def test_the_published_laasp_widths_of_resnet56():
    inner = [4, 8, 4, 4, 4, 4, 4, 8, 12, 32, *[14] * 8, 64, 47, 47, 47, 47, 64, 47, 13, 13]
    network = widths_of_resnet(models.build("resnet-56"), inner, (16, 27, 62))
    assert 100 * (1 - dense(network, 0, True) / 125_747_840) == pytest.approx(52.61, abs=0.005)


@pytest.mark.parametrize(
    ("widths", "percent"),
    [
        ([31, 52, 84, 128, 207, 230, 88, 245, 144, 105, 336, 336, 336], 60.18),
        ([34, 58, 115, 128, 230, 230, 230, 220, 461, 373, 415, 220, 373], 34.62),
    ],
)
def test_the_published_laasp_widths_of_vgg16(widths, percent):
    """The hidden layer keeps its 512 units."""
    rest = iter(widths)
    plan = [item if item == "M" else next(rest) for item in VGG16_PLAN]
    found = dense(Vgg(plan, hidden=512), 0, True)
    assert 100 * (1 - found / dense(models.build("vgg-16"), 0, True)) == pytest.approx(percent, abs=0.005)


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
        ({"name": "resnet-19"}, "m-cifarnet, vgg-16, vgg-19, resnet-18"),
        ({"name": "vgg-19", "width": 0}, "width"),
        ({"name": "vgg-19", "num_classes": 1}, "num_classes"),
        ({"name": "vgg-19", "image_size": 8}, "16 pixels"),
    ],
)
def test_refusals_name_the_value(arguments, says):
    with pytest.raises(ConfigError, match=says):
        models.build(**arguments)


@pytest.mark.parametrize("name", ["resnet-20", "resnet-20-a", "imagenet-resnet-50", "imagenet-mobilenet-v2"])
def test_every_convolution_can_be_gated_except_where_nothing_normalises_it(name):
    """Gated, or following a gate, and counted: with all gates open, the network costs what it did, plus its gates."""
    network = models.build(name, width=0.25)
    gated = gate(network, IMAGE).eval()
    convolutions = [path for path, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)]
    depthwise = {path for path in convolutions if network.get_submodule(path).groups > 1}
    assert set(gated.gating.followers) == depthwise and not gated.gating.skipped
    assert sorted([*gated.gating.gated, *gated.gating.followers]) == sorted(convolutions)
    tracker = CostTracker(gated, IMAGE)
    for name in gated.gating.gated:
        torch.nn.init.zeros_(gated.get_submodule(name).gate.net.fc2.weight)
    gated(torch.rand(2, 3, 32, 32))
    gates = sum(row.gate_hidden * (row.c_in + row.c_out) for row in tracker.layers)
    assert tracker.shares().tolist() == pytest.approx([1 + gates / dense(network, 0, True)] * 2)
