"""The budget controller: sign, bounds and the falling target."""

from __future__ import annotations

import pytest
import torch

from sanp.cost.controller import BudgetController, Control


def test_controller_sign_bounds_and_ramp():
    control = Control(goal=0.4, ramp=0.5, gain=10.0, least=-0.05, most=1.0, window=1)
    controller = BudgetController(control, torch.device("cpu"))
    assert [controller.target(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.7, 0.4, 0.4])
    for cost, progress, weight in ((0.45, 1, 0.5), (0.9, 1, 1.0), (0.4, 1, 0.0), (0.2, 1, -0.05), (0.75, 0.25, 0.5)):
        controller.observe(torch.tensor(cost), progress)
        assert float(controller.weight) == pytest.approx(weight, abs=1e-5)
    again = BudgetController(control, torch.device("cpu"))
    again.restore(controller.state())
    assert torch.equal(again.weight, controller.weight) and torch.equal(again.cost, controller.cost)


def test_lambda_changes_in_place():
    """A training step that was recorded as a CUDA graph reads it from where it was."""
    controller = BudgetController(Control(0.3), torch.device("cpu"))
    places = controller.cost.data_ptr(), controller.weight.data_ptr()
    controller.observe(torch.tensor(0.9), 0.5)
    assert controller.weight > 0
    assert places == (controller.cost.data_ptr(), controller.weight.data_ptr())


def test_the_target_begins_where_open_gates_are():
    """What costs more than the dense network with every gate open is not punished for that in the first step."""
    controller = BudgetController(Control(goal=0.6, ramp=0.5, start=1.2), torch.device("cpu"))
    assert [controller.target(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1.2, 0.9, 0.6, 0.6])
    controller.observe(torch.tensor(1.2), 0.0)
    assert float(controller.weight) == pytest.approx(0, abs=1e-6)
