"""Gates only where they pay: the balance of a gate by hand, and what `layers` leaves out."""

from __future__ import annotations

import pytest
import torch

from sanp import checkpoint, models
from sanp.cost.gate_rates import Rates, left_out, rates_of
from sanp.methods.registry import gate
from sanp_runtime.network.gate_balance import gate_balance
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Gate
from sanp_targets.errors import ConfigError
from tests.support.torch_networks import MobileNetV2Style

X = torch.zeros(1, 3, 64, 64)
EXPAND = Layer("expand", 4, 8, (4, 4), gated=True, gate_hidden=2, support=Dense(4))
FOLLOWER = Layer("depthwise", 8, 8, (4, 4), (3, 3), 8, support=Gate("expand"), follows=Gate("expand"))
PROJECT = Layer("project", 8, 4, (4, 4), gated=True, gate_hidden=2, support=Gate("expand"))
ROWS = (EXPAND, FOLLOWER, PROJECT)


def test_a_gate_saves_its_layer_what_follows_and_what_reads():
    dense = {"expand": 8.0, "depthwise": 4.0, "project": 2.0}
    first, second = gate_balance(ROWS, {"expand": 0.5, "project": 0.25}, dense, {"expand": 1.0, "project": 1.0})
    assert first.saved_ms == pytest.approx(8 * 0.5 + 4 * 0.5 + 2 * 0.25 * 0.5)
    assert second.saved_ms == pytest.approx(2 * 0.5 * 0.75)
    assert first.pays and not second.pays
    priced = gate_balance(ROWS, {"expand": 0.5, "project": 0.25}, {}, {"project": 1.0})
    assert [(row.layer, row.saved_ms) for row in priced] == [("project", 0.0)]


def test_the_reason_has_both_sides():
    slow = dict.fromkeys(("pointwise", "depthwise"), 1e-3)
    rates = Rates(gate_us=1.0, pool_ns=2.0, fc_ns=0.0, follow_us=0.5, gflops=slow)
    found = left_out(ROWS, {"expand": 64, "project": 10**9}, rates, "board")
    assert list(found) == ["project"] and "board" in found["project"] and "2000001.0 us" in found["project"]
    assert rates.price_ms(EXPAND, 64, 1) == pytest.approx(1e-3 * (1 + 0.5 + 0.128))


def test_auto_leaves_out_what_cannot_gain_and_says_why(tmp_path):
    torch.manual_seed(0)
    plain = models.build("imagenet-mobilenet-v2", 10, width=0.35)
    whole, chosen = gate(plain, X), gate(plain, X, layers="auto")
    kept, left = set(chosen.gating.norms), {row.name: row.reason for row in chosen.gating.skipped}
    assert set(whole.gating.norms) == kept | set(left) and kept and left
    assert all("x86-cpu" in reason and "us" in reason for reason in left.values() if "gate costs" in reason)
    assert chosen.gating.options["layers"] == ",".join(chosen.gating.norms)
    again = gate(plain, X, layers=chosen.gating.options["layers"])
    assert again.gating.gated == chosen.gating.gated and again.gating.followers == chosen.gating.followers


def test_names_are_the_layers_to_gate():
    net = gate(MobileNetV2Style(), X, layers="features.1.conv.3, features.1.conv.6")
    assert net.gating.gated == ("features.1.conv.3", "features.1.conv.6"), "its leader has no gate, so it has one"
    with pytest.raises(ConfigError, match="nowhere"):
        gate(MobileNetV2Style(), X, layers="nowhere")


def test_a_target_without_numbers_is_an_error():
    assert rates_of("x86-cpu").gflops["pointwise"] > 1
    with pytest.raises(ConfigError, match="not measured on target 'jetson-thor'"):
        gate(MobileNetV2Style(), X, layers="auto", target="jetson-thor")


@pytest.mark.parametrize("older", [False, True])
def test_a_checkpoint_remembers_who_follows(tmp_path, monkeypatch, older):
    """One from before decisions were shared has a gate on every layer."""
    from sanp.checkpoint import architecture
    from sanp.methods.registry import train_settings

    config = train_settings(model="imagenet-mobilenet-v2", width=0.1, image_size=32)
    share = "none" if older else "depthwise"
    net = gate(models.build("imagenet-mobilenet-v2", 10, width=0.1), X, share=share).eval()
    described = architecture.describe

    def as_before(network):
        row = described(network)
        del row["gating"]["followers"], row["gating"]["options"]["share"]
        return row

    if older:
        monkeypatch.setattr("sanp.checkpoint.network.describe", as_before)
    checkpoint.save(tmp_path / "net.safetensors", net, config)
    monkeypatch.undo()
    found = checkpoint.load(tmp_path / "net.safetensors").model
    assert found.gating.followers == net.gating.followers and bool(found.gating.followers) != older
    assert found.gating.gated == net.gating.gated
