"""Names, options and presets of the methods."""

from __future__ import annotations

import pytest
import torch

from sanp import models
from sanp.methods.registry import METHODS, create, find, gate, train_settings
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError


@pytest.mark.parametrize("name", METHODS)
def test_every_line_of_the_registry_leads_to_a_method(name):
    method = create(name, {})
    assert (method.name, type(method)) == (name, find(name))
    stages = method.stages(TrainSettings())
    assert len({stage.name for stage in stages}) == len(stages)
    assert method.Settings(**method.settings.model_dump(mode="json")) == method.settings


@pytest.mark.parametrize("preset", [TrainSettings.demo, TrainSettings.published])
def test_presets_have_options_that_their_method_accepts(preset):
    settings = preset()
    create(settings.method, settings.options)
    assert preset(budget=0.5).budget == 0.5
    assert preset(options={"joint_epochs": 3}).options["joint_epochs"] == 3


def test_common_settings_and_options_stand_side_by_side():
    settings = train_settings(budget=0.5, noise=0.1, options={"ramp": 0.25})
    assert settings == TrainSettings(budget=0.5, options={"noise": 0.1, "ramp": 0.25})
    assert train_settings(**settings.model_dump()) == settings
    with pytest.raises(ConfigError, match="did you mean noise"):
        train_settings(noize=0.1)
    with pytest.raises(
        ConfigError, match=r"method sanp has no setting 'density', which is one of fixed-k, fbs, random;"
    ):
        train_settings(density=0.5)  # an option of other methods
    with pytest.raises(ConfigError, match=r"milestones is '1,2', expected to be a list in square brackets"):
        train_settings(method="laasp", milestones="1,2")
    with pytest.raises(ConfigError, match=r"^criterion 'FOO' is not known, expected one or several of L1"):
        train_settings(method="laasp", criteria="FOO")
    assert train_settings(method="fixed-k", density=0.5).options == {"density": 0.5}


def test_a_method_without_gates_gates_nothing(monkeypatch):
    monkeypatch.setitem(METHODS, "narrowing", "tests.toolchain.methods.narrowing:Narrowing")
    with pytest.raises(ConfigError, match="method narrowing has no gates"):
        gate(models.build("m-cifarnet", width=0.1), torch.zeros(1, 3, 16, 16), method="narrowing")
