"""Do the default settings meet their budget, and does a per-sample gate beat its controls? One command, one JSON.

    python -m benchmarks.training.pilot --plans budgets controls

For each setting and seed one backbone is pretrained; every budget and method starts from it with the same number of
epochs. No option is tuned per budget, data set or seed. Rows are written as they finish, and a row whose configuration
is in the file already is not run again, so that a grid can be stopped, continued and extended.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sanp
from benchmarks.command_line import parser
from benchmarks.training.rows import RESULTS, write_rows
from sanp import checkpoint, data, models
from sanp.cost.tracker import CostTracker
from sanp.methods.registry import create, train_settings
from sanp.settings.train import TrainSettings
from sanp.training import train

BUDGETS = (0.35, 0.5, 0.25, 0.67)
CONTROLS = ("static", "fixed-k", "random")
# The rates were chosen for SANP; the learned controls also get the full gate rate, and with it the faster joint rate.
TUNED = {
    "fixed-k, full rate": {"method": "fixed-k", "gate_lr_scale": 1.0},
    "static, full rate": {"method": "static", "gate_lr_scale": 1.0},
}
FASTER = {f"{label}, joint 0.1": {**changes, "joint_lr": 0.1} for label, changes in TUNED.items()}
VARIANTS = {  # one decision undone at a time
    "l1": {"sparsity": "l1", "cost_gain": 0.1, "gate_lr_scale": 1.0},
    "raw-descriptor": {"standardise": False},
    "no-noise": {"noise": 0.0, "soft_share": 0.0},
    "full-gate-rate": {"gate_lr_scale": 1.0},
    "constant-noise": {"anneal": 0.0},
    "joint-rate-0.1": {"joint_lr": 0.1},
    "slow-ramp": {"ramp": 0.75},
}
MIXCUES = {
    "dataset": "mixcues",
    "width": 0.25,
    "image_size": 16,
    "augment": False,  # the generator moves and turns everything already
    "pretrain_epochs": 8,  # the proportions of the default epochs
    "warmup_epochs": 2,
    "joint_epochs": 32,
}


def mixcues(**knobs: float) -> dict[str, object]:
    """The MixCues setting with these knobs in place of the defaults."""
    return {**MIXCUES, "data_options": {"modes": 4, "train_size": 4000, "val_size": 1000, "test_size": 4000, **knobs}}


SETTINGS = {
    "digits": {"dataset": "digits", "width": 0.25, "image_size": 16, "joint_epochs": 60},
    "mixcues": mixcues(),
    "mixcues-longer": {**mixcues(), "pretrain_epochs": 16, "warmup_epochs": 4, "joint_epochs": 64},
    "mixcues-one-mode": mixcues(modes=1),  # negative control: every sample needs the same features
    "mixcues-no-cue": mixcues(cue=0.0),  # negative control: the mean colour says nothing about the mode
    "mixcues-early": mixcues(heterogeneity=0.0),  # four drawings that early layers can read
}


def flat(config: TrainSettings) -> dict[str, object]:
    """Everything that decides a run, the options of its method among it, side by side."""
    common = config.model_dump(mode="json", exclude={"pretrained", "options"})
    own: dict[str, object] = create(config.method, config.options).settings.model_dump(mode="json")
    return {**common, **own}


def run(config: TrainSettings, scratch: Path) -> dict[str, object]:
    """Train once; one row of the result file."""
    started = time.perf_counter()
    result = train(config, output=scratch / "run", progress=False)
    joint = [row["seconds"] for row in result.history if row["stage"] == "joint"]
    told = codes_tell(config, scratch / "run") if config.dataset == "mixcues" else {}
    return {
        "dataset": config.dataset,
        "seed": config.seed,
        "method": config.method,
        "budget": config.budget,
        "dense_accuracy": result.dense_accuracy,
        "accuracy": result.accuracy,
        **{key: value for key, value in result.evaluation.to_json().items() if key != "accuracy"},
        "uncalibrated": {"accuracy": result.uncalibrated.accuracy, "cost": result.uncalibrated.cost},
        **told,
        "joint_epoch_s": sorted(joint)[len(joint) // 2] if joint else None,
        "seconds": time.perf_counter() - started,
        "config": flat(config),
    }


def codes_tell(config: TrainSettings, folder: Path, images: int = 2000, neighbours: int = 5) -> dict[str, object]:
    """What the gate codes of test images show: the share of open channels of each layer, and the mode of an image.

    mode_accuracy: how often the nearest other images, by Hamming distance of the codes alone, are of the same mode; a
    guess is right once in `modes` times.
    """
    gated = checkpoint.load(folder / "checkpoint.safetensors")
    split = data.load("mixcues", image_size=config.image_size, **config.data_options).test
    tracker, modes = CostTracker(gated.model, gated.example_input), torch.from_numpy(split.extra["mode"][:images])
    with torch.no_grad():
        gated.model(torch.from_numpy(split.images[:images]))
        masks = {name: mask.flatten(1).float() for name, mask in tracker.masks().items()}
    every = torch.cat(list(masks.values()), dim=1)
    distance = torch.cdist(every, every, p=1).fill_diagonal_(np.inf)
    nearest = modes[distance.topk(neighbours, largest=False).indices]
    return {
        "open_by_layer": {name: round(float(mask.mean()), 4) for name, mask in masks.items()},
        "mode_accuracy": float((nearest.mode(dim=1).values == modes).double().mean()),
    }


def plain(config: TrainSettings, width: float) -> TrainSettings:
    """A network of this width without gates, trained for as many epochs as the three stages have together."""
    epochs = sum(stage.epochs for stage in create(config.method, config.options).stages(config))
    options = {**config.options, "warmup_epochs": 0, "joint_epochs": 0}
    return config.model_copy(update={"width": width, "pretrain_epochs": epochs, "options": options, "budget": 1.0})


def run_plain(config: TrainSettings, cost: float, scratch: Path) -> dict[str, object]:
    """Train a network without gates; one row. cost: its multiply-adds as a share of those of the full width."""
    result = train(config, output=scratch / "longer", progress=False)
    return {
        "dataset": config.dataset, "seed": config.seed, "budget": round(cost, 2), "cost": cost,
        "dense_accuracy": result.dense_accuracy, "accuracy": result.dense_accuracy, "dynamic": 0.0,
        "config": flat(config),
    }  # fmt: skip


def narrow(config: TrainSettings, budget: float) -> tuple[float, float]:
    """The width whose network comes closest to this share of the multiply-adds, and its share."""
    example = torch.zeros(1, 3, config.image_size, config.image_size)

    def macs(width: float) -> int:
        network = models.build(config.model, width=width, image_size=config.image_size)
        return CostTracker(sanp.gate(network, example), example).dense

    full = macs(config.width)
    shares = {width: macs(width) / full for width in np.linspace(0.3, 1, 71) * config.width}
    width = min(shares, key=lambda candidate: abs(shares[candidate] - budget))
    return round(float(width), 4), shares[width]


Plan = list[tuple[str, float, dict[str, object]]]
PLANS: dict[str, Plan] = {  # label, budget and changed options of each run
    "sanp": [("sanp", BUDGETS[0], {})],
    "budgets": [("sanp", budget, {}) for budget in BUDGETS],
    "controls": [(method, BUDGETS[0], {"method": method}) for method in CONTROLS],
    "random": [("random", BUDGETS[0], {"method": "random"})],
    "tuned": [(label, BUDGETS[0], changes) for label, changes in TUNED.items()],
    "faster": [(label, BUDGETS[0], changes) for label, changes in FASTER.items()],
    "ablation": [("sanp", BUDGETS[0], {}), *((label, BUDGETS[0], changes) for label, changes in TUNED.items())],
    "low": [("sanp", 0.25, {}), ("fixed-k, full rate", 0.25, TUNED["fixed-k, full rate"])],
    "oracle": [("oracle", BUDGETS[0], {"method": "oracle"})],
    "variants": [(label, BUDGETS[0], changes) for label, changes in VARIANTS.items()],
    "ramp": [("slow-ramp", BUDGETS[0], VARIANTS["slow-ramp"])],
    "dense": [],  # these two are handled apart: no gates
    "narrow": [],
}


class Results:
    """The rows of one setting: read from its file, written back after each new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = self.read()

    def read(self) -> list[dict[str, Any]]:
        """What the file holds."""
        rows: list[dict[str, Any]] = []
        if self.path.exists():
            rows = json.loads(self.path.read_text(encoding="utf-8"))["rows"]
        return rows

    def has(self, label: str, config: TrainSettings) -> bool:
        """Whether this run is there, with the same configuration."""
        wanted = flat(config)
        if "all epochs" in label:
            wanted.pop("budget")  # no gates, nothing to reach
        return any(
            row["label"] == label and all(row["config"].get(key, value) == value for key, value in wanted.items())
            for row in self.rows
        )

    def add(self, row: dict[str, Any]) -> None:
        """Put a row in place of an older one of the same label, budget and seed, and write the file.

        Under a lock and from what the file holds by now: a grid is often run by several processes.
        """
        key = ("label", "budget", "seed")
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            kept = [old for old in self.read() if any(old[name] != row[name] for name in key)]
            self.rows = [*kept, row]
            write_rows(self.path, self.rows)
        finally:
            os.close(folder)
        print(
            f"{self.path.stem} seed {row['seed']} {row['label']:<18} budget {row['budget']:.2f}: accuracy "
            f"{row['accuracy']:.4f} (dense {row['dense_accuracy']:.4f}), cost {row['cost']:.4f}, dynamic "
            f"{row['dynamic']:.3f}",
            flush=True,
        )


def backbone(options: dict[str, object], folder: Path) -> Path:
    """The pretrained backbone of a setting and seed; trained unless `folder` holds it."""
    path = folder / "dense.safetensors"
    if not (folder / "done").exists():
        alone = train_settings(**{**options, "warmup_epochs": 0, "joint_epochs": 0, "budget": 1.0})
        train(alone, output=folder, progress=False)
        (folder / "done").touch()
    return path


def grid(name: str, seed: int, plans: list[str], results: Results, backbones: Path, scratch: Path) -> None:
    """All runs of one setting and seed that are not in the results yet."""
    options: dict[str, object] = {"seed": seed, **SETTINGS[name]}
    alone = train_settings(**options)
    widths = {"dense, all epochs": (alone.width, 1.0)} if "dense" in plans else {}
    if "narrow" in plans:
        widths["narrow, all epochs"] = narrow(alone, BUDGETS[0])
    for label, (width, cost) in widths.items():
        if not results.has(label, plain(alone, width)):
            results.add({"label": label, **run_plain(plain(alone, width), cost, scratch)})
    for label, budget, changes in [row for plan in plans for row in PLANS[plan]]:
        config = train_settings(**{**options, "budget": budget, **changes})
        if not results.has(label, config):
            path = backbone(options, backbones / f"{name}-{seed}")
            results.add({"label": label, **run(config.model_copy(update={"pretrained": path}), scratch)})


def main() -> None:
    """Run the grid and write <output>/pilot-<setting>.json."""
    made = parser(__doc__)
    made.add_argument("--output", type=Path, default=RESULTS)
    made.add_argument("--datasets", nargs="+", default=["digits", "mixcues"], choices=list(SETTINGS))
    plans = "ablation = sanp and the learned controls at their own rate; low = 25 %% of the MACs"
    made.add_argument("--plans", nargs="+", default=["budgets"], choices=list(PLANS), help=plans)
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    made.add_argument("--backbones", type=Path, help="keep pretrained backbones here, for further calls")
    made.add_argument("--threads", type=int, default=1)
    arguments = made.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            for name in arguments.datasets:
                results = Results(arguments.output / f"pilot-{name}.json")
                grid(name, seed, arguments.plans, results, arguments.backbones or Path(folder), Path(folder))


if __name__ == "__main__":
    main()
