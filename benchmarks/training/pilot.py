"""Do the default settings meet their budget, and does a per-sample gate beat its controls? One command, one JSON.

    python benchmarks/training/pilot.py --plans budgets controls

For each data set and seed one backbone is pretrained; every budget and policy starts from it with the same number of
epochs. No option is tuned per budget, data set or seed. Rows are written as they finish, so that a run can be stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from machine import describe

from sanp.training import TrainConfig, train

BUDGETS = (0.35, 0.5, 0.25, 0.67)
CONTROLS = ("static", "fixed-k", "random")
# The gate rate was chosen for SANP; the learned controls also get the full one.
TUNED = {
    "fixed-k, full rate": {"policy": "fixed-k", "gate_lr_scale": 1.0},
    "static, full rate": {"policy": "static", "gate_lr_scale": 1.0},
}
VARIANTS = {  # one decision undone at a time
    "l1": {"sparsity": "l1", "cost_gain": 0.1, "gate_lr_scale": 1.0},
    "raw-descriptor": {"standardise": False},
    "no-noise": {"noise": 0.0, "soft_share": 0.0},
    "full-gate-rate": {"gate_lr_scale": 1.0},
}
MIXCUES = {
    "dataset": "mixcues",
    "width": 0.25,
    "image_size": 16,
    "augment": False,  # the generator moves and turns everything already
    "pretrain_epochs": 20,
    "warmup_epochs": 2,
    "joint_epochs": 20,
}


def mixcues(**knobs: float) -> dict[str, object]:
    """The MixCues setting with these knobs in place of the defaults."""
    return {**MIXCUES, "data_options": {"modes": 4, "train_size": 4000, "val_size": 1000, "test_size": 4000, **knobs}}


SETTINGS = {
    "digits": {"dataset": "digits", "width": 0.25, "image_size": 16, "joint_epochs": 60},
    "mixcues": mixcues(),
    "mixcues-one-mode": mixcues(modes=1),  # negative control: every sample needs the same features
    "mixcues-no-cue": mixcues(cue=0.0),  # negative control: the mean colour says nothing about the mode
    "mixcues-early": mixcues(heterogeneity=0.0),  # four families that early layers can read
}


def run(config: TrainConfig, scratch: Path) -> dict[str, object]:
    """Train once; one row of the result file."""
    started = time.perf_counter()
    result = train(config, output=scratch / "run", progress=False)
    joint = [row["seconds"] for row in result.history if row["stage"] == "joint"]
    return {
        "dataset": config.dataset,
        "seed": config.seed,
        "policy": config.policy,
        "budget": config.budget,
        "dense_accuracy": result.dense_accuracy,
        "accuracy": result.accuracy,
        **{key: value for key, value in result.evaluation.to_json().items() if key != "accuracy"},
        "uncalibrated": {"accuracy": result.uncalibrated.accuracy, "cost": result.uncalibrated.cost},
        "joint_epoch_s": sorted(joint)[len(joint) // 2] if joint else None,
        "seconds": time.perf_counter() - started,
        "config": config.model_dump(mode="json", exclude={"pretrained"}),
    }


def run_dense(config: TrainConfig, scratch: Path) -> dict[str, object]:
    """The backbone alone, trained for as many epochs as the three stages have together."""
    epochs = config.pretrain_epochs + config.warmup_epochs + config.joint_epochs
    longer = config.model_copy(update={"pretrain_epochs": epochs, "warmup_epochs": 0, "joint_epochs": 0})
    result = train(longer, output=scratch / "longer", progress=False)
    return {
        "label": "dense, all epochs", "dataset": config.dataset, "seed": config.seed, "budget": 1.0, "cost": 1.0,
        "dense_accuracy": result.dense_accuracy, "accuracy": result.dense_accuracy, "dynamic": 0.0,
        "config": longer.model_dump(mode="json"),
    }  # fmt: skip


def plan_of(names: list[str]) -> list[tuple[str, float, dict[str, object]]]:
    """Label, budget and changed options of each run."""
    plan: list[tuple[str, float, dict[str, object]]] = []
    if "budgets" in names:
        plan += [("sanp", budget, {}) for budget in BUDGETS]
    if "controls" in names:
        plan += [(policy, BUDGETS[0], {"policy": policy}) for policy in CONTROLS]
    if "tuned" in names:
        plan += [(label, BUDGETS[0], changes) for label, changes in TUNED.items()]
    if "ablation" in names:
        plan += [("sanp", BUDGETS[0], {}), *((label, BUDGETS[0], changes) for label, changes in TUNED.items())]
    if "low" in names:
        plan += [("sanp", 0.25, {}), ("fixed-k, full rate", 0.25, TUNED["fixed-k, full rate"])]
    if "oracle" in names:
        plan += [("oracle", BUDGETS[0], {"policy": "oracle"})]
    if "variants" in names:
        plan += [(label, BUDGETS[0], changes) for label, changes in VARIANTS.items()]
    return plan


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write the rows so far."""
    text = json.dumps({"machine": describe(), "rows": rows}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Run the grid and write <output>/pilot-<dataset>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--datasets", nargs="+", default=["digits", "mixcues"], choices=list(SETTINGS))
    parser.add_argument(
        "--plans",
        nargs="+",
        default=["budgets"],
        choices=["budgets", "controls", "tuned", "ablation", "low", "oracle", "variants", "dense"],
        help="dense stands alone; ablation = sanp and the learned controls at their own rate; low = 25 %% of the MACs",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    name_of = "-".join(["pilot", *arguments.plans])
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in arguments.datasets}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for seed in arguments.seeds:
            for name in arguments.datasets:
                options = {"seed": seed, **SETTINGS[name]}
                if arguments.plans == ["dense"]:
                    rows[name].append(run_dense(TrainConfig.checked(**options), scratch))
                    write(arguments.output / f"{name_of}-{name}.json", rows[name])
                    continue
                dense = TrainConfig.checked(**{**options, "warmup_epochs": 0, "joint_epochs": 0})
                train(dense, output=scratch / "dense", progress=False)
                options["pretrained"] = scratch / "dense" / "dense.safetensors"
                for label, budget, changes in plan_of(arguments.plans):
                    config = TrainConfig.checked(**{**options, "budget": budget, **changes})
                    row = {"label": label, **run(config, scratch)}
                    rows[name].append(row)
                    print(
                        f"{name} seed {seed} {label:<14} budget {budget:.2f}: accuracy {row['accuracy']:.4f} "
                        f"(dense {row['dense_accuracy']:.4f}), cost {row['cost']:.4f}, dynamic {row['dynamic']:.3f}",
                        flush=True,
                    )
                    write(arguments.output / f"{name_of}-{name}.json", rows[name])


if __name__ == "__main__":
    main()
