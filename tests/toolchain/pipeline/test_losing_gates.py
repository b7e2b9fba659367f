"""`sanp compile` names the gates that cost more than they save."""

import pytest
import torch
from torch import nn

import sanp
from sanp.cost.gate_rates import rates_of
from sanp.gating import gated_layers
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.losing_gates import summary
from sanp.pipeline.export import export


class Uneven(nn.Module):
    """A narrow 1x1 layer with hardly any work behind a wide one with much."""

    def __init__(self):
        super().__init__()
        self.big, self.n1 = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.work, self.n2 = nn.Conv2d(64, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128)
        self.tiny, self.n3 = nn.Conv2d(128, 2, 1, bias=False), nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 10)

    def forward(self, x):
        x = torch.relu(self.n2(self.work(torch.relu(self.n1(self.big(x))))))
        return self.head(torch.relu(self.n3(self.tiny(x))).mean((2, 3)))


def test_the_gate_without_work_is_named_with_its_price(tmp_path):
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32)
    gated = sanp.gate(Uneven(), images).eval()
    with torch.no_grad():
        for layer in gated_layers(gated).values():
            layer.gate.net.fc2.bias[::2] = -1  # half of the channels closed
    labels = torch.zeros(4, dtype=torch.int64).numpy()
    export(gated, tmp_path / "net.onnx", example_input=images, images=images.numpy(), labels=labels)
    (row,) = compile_model(tmp_path / "net.onnx", tmp_path / "net.sanp", target="x86-cpu").record["losing_gates"]
    assert row["layer"] == "tiny" and row["price_ms"] > row["saved_ms"] >= 0
    rates = rates_of("x86-cpu")
    fc = 128 * 8 + 8 * 2
    assert row["price_ms"] == pytest.approx(
        1e-3 * rates.gate_us + 1e-6 * (rates.pool_ns * 128 * 32 * 32 + rates.fc_ns * fc), rel=1e-6
    )
    assert "1 gate costs more time than it saves" in summary([row])[0]


def test_nothing_is_said_where_nothing_was_measured(tmp_path):
    images = torch.rand(2, 3, 32, 32)
    export(sanp.gate(Uneven(), images).eval(), tmp_path / "net.onnx", example_input=images)
    made = compile_model(tmp_path / "net.onnx", tmp_path / "net.sanp", target="jetson-orin-nano")
    assert "losing_gates" not in made.record
