"""What a comparison plans: equal epochs for every method, one backbone per seed, and no run that cannot be."""

import pytest

from sanp import data
from sanp.methods.epochs import own_epochs, with_epochs
from sanp.methods.registry import METHODS, create, train_settings
from sanp.pipeline.compare.compare import compare
from sanp.pipeline.compare.matrix import check_all, parse, plan
from sanp.settings.compare import CompareSettings
from sanp_targets.errors import ConfigError, TargetError

SMALL = {
    "width": 0.1,
    "data_options": {"modes": 2, "train_size": 256, "val_size": 10, "test_size": 64},
    "epochs": 12,
    "pretrain_epochs": 3,
}


def settings(**values):
    return CompareSettings.checked(**{**SMALL, **values})


def total(run, start):
    """Epochs that a run and the backbone it starts from train together."""
    return sum(stage.epochs for stage in create(run.method, run.options).stages(run) if not stage.backbone) + start


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_gets_the_same_epochs(method):
    for epochs in (7, 12, 40):
        run = with_epochs(train_settings(method=method, pretrain_epochs=3), epochs)
        stages = create(run.method, run.options).stages(run)
        assert sum(stage.epochs for stage in stages) == epochs
        own, pretrained = own_epochs(run)
        assert own == epochs - (3 if pretrained else 0)


def test_proportions_are_kept_and_what_is_given_stays():
    run = with_epochs(train_settings(method="sanp", pretrain_epochs=16), 16 + 32)
    assert (run.options["warmup_epochs"], run.options["joint_epochs"]) == (2, 30)
    run = with_epochs(train_settings(method="sanp", pretrain_epochs=4, warmup_epochs=5), 14)
    assert (run.options["warmup_epochs"], run.options["joint_epochs"]) == (5, 5)
    run = with_epochs(train_settings(method="sanp", pretrain_epochs=4), 6)
    assert (run.options["warmup_epochs"], run.options["joint_epochs"]) == (1, 1), "no stage is dropped that fits"
    with pytest.raises(ConfigError, match="trains 9 epochs after the backbone, expected 8"):
        with_epochs(train_settings(method="sanp", pretrain_epochs=4, warmup_epochs=5, joint_epochs=4), 12)


def test_the_cells():
    matrix = plan(settings(methods="dense narrow sanp laasp:criteria=L1", budgets=[0.35, 0.5], seeds=[3, 4]))
    assert [cell.label for cell in matrix.cells if cell.seed == 3] == [
        "dense", "narrow", "narrow", "sanp", "sanp", "laasp:criteria=L1", "laasp:criteria=L1",
    ]  # fmt: skip
    assert [str(cell.folder) for cell in matrix.backbones] == ["backbones/seed-3", "backbones/seed-4"]
    for cell in matrix.cells:
        starts = cell.label not in ("dense", "narrow")
        assert (cell.backbone is not None) == starts and cell.epochs == (9 if starts else 12)
        assert (cell.budget is None) == (cell.label == "dense") and cell.settings.seed == cell.seed
    assert len({cell.folder for cell in matrix.cells}) == len(matrix.cells) == 14
    assert matrix.cells[5].settings.options["criteria"] == "L1"
    assert not plan(settings(methods="dense narrow")).backbones, "nobody starts from one"


def test_options_of_a_method():
    assert parse("sanp") == ("sanp", {})
    assert parse("laasp:criteria=L1,COS,samples=50,reuse=true,step=0.02") == (
        "laasp", {"criteria": "L1,COS", "samples": 50, "reuse": True, "step": 0.02},
    )  # fmt: skip


def test_a_method_can_have_a_device_of_its_own():
    matrix = plan(settings(methods="sanp static:joint_lr=0.02@cuda:0", budgets=[0.5], seeds=[0]))
    assert [(cell.label, cell.settings.device) for cell in matrix.cells] == [
        ("sanp", "cpu"), ("static:joint_lr=0.02", "cuda:0"),
    ]  # fmt: skip
    same = plan(settings(methods="sanp static:joint_lr=0.02", budgets=[0.5], seeds=[0]))
    assert [cell.folder for cell in same.cells] == [cell.folder for cell in matrix.cells]


def test_another_data_set_has_no_options_of_mixcues():
    assert CompareSettings.checked(dataset="digits").training.data_options == {}
    assert CompareSettings.checked().training.data_options["modes"] == 4


def test_an_unknown_target_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(TargetError, match="nosuch"):
        compare(tmp_path / "out", settings(target="nosuch"), progress=False)
    assert not (tmp_path / "out").exists()


def test_a_list_can_be_an_option_and_a_single_number_a_list():
    made = settings(methods="l1:widths=[3,4],criterion=L2", budgets="0.5", seeds=0)
    assert (made.budgets, made.seeds, settings(budgets="0.35,0.5").budgets) == ((0.5,), (0,), (0.35, 0.5))
    (cell,) = plan(made).cells
    assert (cell.settings.options["widths"], cell.settings.options["criterion"]) == ([3, 4], "L2")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"methods": "sanp sanpp"}, "method 'sanpp' is not known"),
        ({"methods": "sanp:joint_rl=1"}, "has no setting 'joint_rl'; did you mean joint_lr"),
        ({"methods": "laasp:sparse_epochs=1"}, "method laasp has no setting 'sparse_epochs', which is one of slimming"),
        ({"methods": "dense,sanp"}, "spaces between methods, not commas"),
        ({"methods": "sanp", "budgets": "0.5;0.4"}, r"budgets\[0\] is '0.5;0.4', expected to be a valid number"),
        ({"methods": "sanp:joint_lr"}, "expected name:option=value"),
        ({"methods": "sanp sanp"}, "each once"),
        ({"methods": ""}, "at least one"),
        ({"methods": "sanp", "budgets": [0.5, 1.5]}, "budgets has 1.5"),
        ({"methods": "sanp", "pretrain_epochs": 12}, "expected fewer than the 12"),
        ({"methods": "sanp:joint_epochs=3,warmup_epochs=0"}, "trains 3 epochs after the backbone, expected 9"),
    ],
)
def test_what_cannot_be_is_refused(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        plan(settings(**values))


def test_an_impossible_budget_is_refused_before_anything_is_trained():
    made = settings(methods="dense sanp narrow", budgets=[0.5, 0.0005])
    training = made.training
    dataset = data.load(training.dataset, image_size=training.image_size, **training.data_options)
    with pytest.raises(ConfigError, match=r"sanp: budget is 0.0005 of the dense cost, expected more than 0\.0"):
        check_all(plan(made), dataset)
    check_all(plan(settings(methods="dense sanp narrow", budgets=[0.5])), dataset)


@pytest.mark.parametrize("budget", [0.35, 0.5, 0.67, 1.0])
@pytest.mark.parametrize("name", ["m-cifarnet", "resnet-20", "imagenet-mobilenet-v2"])
def test_the_narrow_control_meets_its_budget_from_below(name, budget):
    """Within a point, with about the same share of every layer; narrow layers move by several points at once."""
    import torch

    from sanp import models
    from sanp.cost.macs import MacCounter
    from sanp.cost.tracker import CostTracker
    from sanp.methods.stage import Context

    run = train_settings(method="narrow", model=name, width=0.25, image_size=16, budget=budget)
    network, example = models.build(name, 10, 0.25, 3, 16), torch.zeros(1, 3, 16, 16)
    full = CostTracker(network, example).dense
    context = Context(run, network, example, MacCounter, full, lambda n: iter(()), lambda n: iter(()), lambda t: t)
    torch.manual_seed(run.seed + 1)
    narrow = create("narrow", {}).prepare(context)
    assert narrow.eval()(example).shape == (1, 10)
    share = CostTracker(narrow, example).dense / full
    assert budget - 0.01 < share <= budget
    kept = []
    for layer, module in narrow.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            wide = network.get_submodule(layer).out_channels
            assert module.out_channels <= wide
            kept += [module.out_channels / wide] if 16 <= wide < 1280 else []  # MobileNetV2 has 1280 at any factor
    assert max(kept) - min(kept) < 0.2, (kept, "about the same share of every layer")


def test_times_are_goals_of_methods_with_channel_gates(tmp_path):
    table = tmp_path / "table.json"
    matrix = plan(settings(methods="dense narrow sanp", budgets=[0.5], seeds=[0], latencies="0.1ms 80us", table=table))
    goals = [(cell.label, cell.budget, cell.latency, cell.folder.name) for cell in matrix.cells]
    assert goals == [
        ("dense", None, None, "dense-seed-0"), ("narrow", 0.5, None, "narrow-0.5-seed-0"),
        ("sanp", 0.5, None, "sanp-0.5-seed-0"), ("sanp", None, "0.1ms", "sanp-0.1ms-seed-0"),
        ("sanp", None, "80us", "sanp-80us-seed-0"),
    ]  # fmt: skip
    timed = matrix.cells[3].settings
    assert (timed.budget_latency, timed.table) == ("0.1ms", table) and matrix.cells[2].settings.table is None
    with pytest.raises(ConfigError, match="both or none"):
        settings(latencies="0.1ms")
    with pytest.raises(ConfigError, match="times with their unit"):
        settings(latencies="0.1", table=table)
