"""Layer names that TensorRT's tools cannot write: the whole way, from the network to validated engines."""

import numpy as np
import pytest
import torch
from torch import nn

from sanp.gating import gated_layers
from sanp.methods.registry import gate
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp_runtime import load
from sanp_runtime.engines.tensorrt.builder import build
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt
from tests.fakes import trtexec as fake_trtexec

IMAGE = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))


class Named(nn.Module):
    """Two gated layers whose names contain `key`."""

    def __init__(self, key):
        super().__init__()
        self.key = key
        self.a = nn.ModuleDict({key: nn.Conv2d(3, 8, 3, padding=1, bias=False), "n": nn.BatchNorm2d(8)})
        self.b = nn.ModuleDict({key: nn.Conv2d(8, 8, 3, padding=1, bias=False), "n": nn.BatchNorm2d(8)})
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = self.a["n"](self.a[self.key](x)).relu()
        x = self.b["n"](self.b[self.key](x)).relu()
        return self.fc(x.mean((2, 3)))


def made(key, folder, target):
    torch.manual_seed(0)
    model = gate(Named(key), IMAGE).eval()
    answers = {"images": IMAGE.numpy(), "labels": np.zeros(3, np.int64)}
    export(model, folder / "model.onnx", example_input=IMAGE, **answers)
    compile_model(folder / "model.onnx", folder / "net.sanp", target=target, plugin_layers="all", max_batch=4)
    return model


@pytest.mark.parametrize("key", ["a b", "x:y,z", "/a//", "\u65e5\u672c"])
@pytest.mark.parametrize("tool", ["python", "trtexec"])
def test_a_name_is_a_name(monkeypatch, tmp_path, key, tool):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    model = made(key, tmp_path, "jetson-orin-nano")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    _, cudart = fake_tensorrt.install(monkeypatch, "8.6.2", "Orin", 87)
    plugin = fake_cuda.compile_stub_plugin(tmp_path)
    if tool == "trtexec":
        fake = fake_trtexec.FakeTrtexec("8.6.2", cudart)
        monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
        for module in ("tools", "open_engine"):
            monkeypatch.setattr(f"sanp_runtime.engines.tensorrt.{module}.find_trtexec", lambda: tmp_path / "trtexec")
        for module in ("tools", "trtexec_engine"):
            monkeypatch.setattr(f"sanp_runtime.engines.tensorrt.{module}.trtexec_version", lambda path: "8.6.2")
        monkeypatch.setattr("sanp_runtime.engines.tensorrt.trtexec.run", fake)
    bundle = build(tmp_path / "net.sanp", plugin=plugin)
    assert self_test(bundle).passed
    layers = list(gated_layers(model))
    assert list(bundle.manifest.gated) == layers == [f"a.{key}", f"b.{key}"]
    with load(bundle.path) as engine:
        closed = engine(IMAGE.numpy(), {layers[1]: np.zeros((1, 8), np.float32)})
        assert closed.gates[layers[0]].any() and not closed.gates[layers[1]].any()
    rows = {row["name"]: row for row in profile(bundle, duration_s=0.01).to_json()["layers"]}
    assert all(rows[name]["gated_ms"] > 0 and rows[name]["gate_ms"] > 0 for name in layers)


@pytest.mark.parametrize("key", ['a"b', "a\nb"])
def test_names_that_torch_cannot_write_are_named(key):
    with pytest.raises(ConfigError, match=r"torch\.fx cannot write"):
        gate(Named(key), IMAGE)
