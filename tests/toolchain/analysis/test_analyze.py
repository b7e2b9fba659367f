"""Channel statistics against a second count, and the figures that come with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sanp import models
from sanp.analysis.channel_use import analyze
from sanp.analysis.figures import save_figures
from sanp.data.batch import Batch
from sanp.gating import gated_layers
from sanp.methods.registry import gate
from sanp_targets.errors import ConfigError, InputError

X = torch.zeros(1, 3, 16, 16)


def batches(images, labels, size=64):
    return [
        Batch(torch.from_numpy(images[start : start + size]), torch.from_numpy(labels[start : start + size]))
        for start in range(0, len(images), size)
    ]


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    model = gate(models.build("m-cifarnet", width=0.1), X).eval()
    for layer in gated_layers(model).values():
        torch.nn.init.normal_(layer.gate.net.fc2.weight, std=2.0)
        torch.nn.init.normal_(layer.gate.net.fc2.bias)
    images = (torch.randn(50, 3, 16, 16) + 2 * torch.randn(50, 3, 1, 1)).numpy()
    labels = np.arange(50) % 4
    return model, images, labels


def test_shares_are_counted_exactly(case):
    model, images, labels = case
    found = analyze(model, batches(images, labels, 7))
    with torch.no_grad():
        model(torch.from_numpy(images))
    total, channels = 0, 0
    for row in found.layers:
        mask = gated_layers(model)[row.name].mask.numpy()
        share = mask.mean(0)
        assert row.never == pytest.approx((share == 0).mean())
        assert row.always == pytest.approx((share == 1).mean())
        assert row.never + row.sometimes + row.always == pytest.approx(1)
        np.testing.assert_allclose(found.class_open[row.name][2], mask[labels == 2].mean(0), atol=1e-6)
        total, channels = total + mask.sum(1), channels + mask.shape[1]
    np.testing.assert_allclose(found.open_share, total / channels, rtol=1e-6)
    assert any(0 < row.sometimes < 1 for row in found.layers)
    assert 0 < found.cost.min() <= found.cost.max() <= 1.1


def test_json_is_plain_and_figures_are_written(case, tmp_path):
    found = analyze(case[0], batches(*case[1:]), class_names=("a", "b", "c", "d"))
    text = json.loads(json.dumps(found.to_json()))
    assert text["samples"] == 50 and sum(text["open_share_histogram"]["counts"]) == 50
    assert text["class_names"] == ["a", "b", "c", "d"]
    paths = save_figures(found, tmp_path / "figures")
    assert sorted(path.name for path in paths) == ["channels.png", "classes.png", "samples.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        save_figures(found, tmp_path / "file")


def test_wrong_inputs_are_refused(case):
    model, images, labels = case
    with pytest.raises(InputError, match="at least 1"):
        analyze(model, [Batch(torch.from_numpy(images[:0]), torch.from_numpy(labels[:0]))])
    with pytest.raises(InputError, match=r"shape \(3, 16, 16\), expected \[N, C, H, W\]"):
        analyze(model, [Batch(torch.from_numpy(images[0]), torch.from_numpy(labels))])
    with pytest.raises(InputError, match="no images to analyze"):
        analyze(model, [])
    with pytest.raises(ConfigError, match="no gated layer"):
        analyze(models.build("m-cifarnet", width=0.1), batches(images, labels))


def test_labels_that_are_no_classes_leave_out_the_tables_per_class(case, tmp_path):
    model, images, labels = case
    boxes = [{"boxes": torch.zeros(2, 4)} for _ in labels]
    found = analyze(model, [Batch(torch.from_numpy(images), boxes)])
    counted = analyze(model, batches(images, labels))
    assert found.layers == counted.layers and found.class_open == {} and found.class_names == ()
    assert found.to_json()["class_open"] == {}
    assert sorted(path.name for path in save_figures(found, tmp_path)) == ["channels.png", "samples.png"]


def test_a_class_that_only_a_late_batch_has(case):
    """Tables grow, and classes that are named but never seen have zeros."""
    model, images, labels = case
    order = np.argsort(labels, kind="stable")
    found = analyze(model, batches(images[order], labels[order], 5), class_names=("a", "b", "c", "d", "e"))
    whole = analyze(model, batches(images, labels))
    for name, table in found.class_open.items():
        assert table.shape[0] == 5 and not table[4].any()
        np.testing.assert_allclose(table[:4], whole.class_open[name], atol=1e-6)
