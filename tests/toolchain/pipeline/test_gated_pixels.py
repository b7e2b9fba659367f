"""A network that decides for every pixel: no reader calls it dense, or says what its samples cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sanp import models
from sanp.analysis.channel_use import analyze
from sanp.data.batch import Batch
from sanp.methods.registry import gate
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.profile import profile_bundle
from sanp.report.sections.summary import explanation, headline
from sanp_runtime import load
from sanp_runtime.profile.text import ratio_line
from sanp_targets.errors import ConfigError, InputError


def test_what_is_said_of_gated_pixels(tmp_path):
    torch.manual_seed(0)
    x = torch.zeros(1, 3, 16, 16)
    model = gate(models.build("m-cifarnet", width=0.25), x, "channel-gating").eval()
    images, labels = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32), np.zeros(4, np.int64)
    exported = export(model, tmp_path / "m.onnx", example_input=x, images=images, labels=labels)
    bundle = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp").bundle
    names = bundle.manifest.pixel_gated
    assert len(names) == exported.pixel_gated > 4 and set(names) <= set(bundle.manifest.names())
    for path in (tmp_path / "m.onnx", bundle.path):
        assert inspect(path)["about"]["gated_pixels"] == {"layers": list(names), "macs": "as if every pixel were open"}
    profile = profile_bundle(bundle.path, duration=0.1, allow_invalid=True)
    for text in (ratio_line(profile), headline(profile)):
        assert "every pixel open" in text and "without gates" not in text
    assert "decide for every pixel" in explanation(profile) and "export with --parent" in explanation(profile)
    with load(bundle.path) as engine:
        with pytest.raises(InputError, match=r"no channel gates; .* decides for every pixel"):
            engine(images, masks={names[0]: np.ones((1, 8), np.float32)})
        with pytest.raises(InputError, match="layers with gated pixels were seen"):
            engine.proof()
    with pytest.raises(ConfigError, match="gates pixels, not channels, by a kernel which --tune does not reach"):
        compile_model(tmp_path / "m.onnx", tmp_path / "again.sanp", tune=True)
    with pytest.raises(ConfigError, match="decides for every pixel and has no channel gates"):
        analyze(model, [Batch(torch.from_numpy(images), torch.from_numpy(labels))])
