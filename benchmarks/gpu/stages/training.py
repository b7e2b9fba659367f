"""Stage 4: training on this device. Time of a dense and a joint step, then SANP ResNet-18 on MixCues to its budget."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.place import Place
from benchmarks.gpu.training_steps import StepTimes, measure
from benchmarks.gpu.visit.record import Record
from sanp.methods.registry import train_settings
from sanp.training.result import TrainResult
from sanp.training.start import train
from sanp_targets.errors import InputError, ValidationError

BUDGET = 0.35
MIXED = "bfloat16"
PRECISIONS = (MIXED, "float16", "float32")
# The proportions of the toolchain's default epochs, and how many there are at most.
SHARES, MOST_EPOCHS = {"pretrain_epochs": 0.2, "warmup_epochs": 0.05, "joint_epochs": 0.75}, 80
LEAST_EPOCHS = {"pretrain_epochs": 1, "warmup_epochs": 1, "joint_epochs": 2}
IMAGES_DRAWN_PER_S = 700  # MixCues is drawn by the processor; a cautious rate
RESERVE_SECONDS = 12.0  # evaluation, calibration, checkpoint


@dataclass(frozen=True)
class Sizes:
    """Network, images, and how many of them."""

    model: str
    width: float
    image_size: int
    batch: int
    steps: int
    epochs: int
    images: dict[str, int]
    most_epochs: int = MOST_EPOCHS


FULL = Sizes("resnet-18", 1.0, 32, 256, 12, 4, {"train_size": 12800, "val_size": 256, "test_size": 2000})
SMALL = Sizes("m-cifarnet", 0.0625, 16, 16, 2, 1, {"train_size": 64, "val_size": 16, "test_size": 32}, most_epochs=4)


def run(place: Place, record: Record) -> None:
    """Step times of each precision are written as they come; the schedule is what fits into the rest of the time."""
    sizes = place.pick(FULL, SMALL)
    common = common_settings(place, sizes)
    record.note(float32="with TF32 in cuDNN, as PyTorch has it by default")
    times: dict[str, StepTimes] = {}
    for precision in PRECISIONS:
        try:
            times[precision] = measure(train_settings(precision=precision, **common), sizes.steps, sizes.epochs)
        except (RuntimeError, InputError) as error:
            record.append("failed", {"precision": precision, "said": str(error)[:1000]})
            continue
        record.append("steps", times[precision].as_json())
        print(times[precision], flush=True)
    if MIXED not in times:
        raise RuntimeError(f"no step in {MIXED} could be timed: {record.numbers['failed'][0]['said']}")
    drawing = sum(sizes.images.values()) / IMAGES_DRAWN_PER_S
    available = 0.9 * (record.seconds_left() - drawing - RESERVE_SECONDS)
    epochs = schedule(times[MIXED], sizes.images["train_size"], available, sizes.most_epochs)
    record.note(schedule=epochs, images=sizes.images, available_s=round(available, 1))
    settings = train_settings(precision=MIXED, data_options={"modes": 4, **sizes.images}, **common, **epochs)
    begin = time.perf_counter()
    try:
        result = outcome(train(settings, output=place.output / "training-run", progress=False))
    except ValidationError as error:  # the network is there, and costs too much: an answer, and no failure of the stage
        result = {"problem": str(error), "budget": BUDGET, "budget_met": False}
    record.note(result=result, seconds=round(time.perf_counter() - begin, 1))


def common_settings(place: Place, sizes: Sizes) -> dict[str, Any]:
    """The settings that all runs on this device share."""
    return {
        "model": sizes.model, "width": sizes.width, "image_size": sizes.image_size, "dataset": "mixcues",
        "batch_size": sizes.batch, "device": place.device, "budget": BUDGET, "augment": False, "lr": 0.1,
        "joint_lr": 0.1, "log_every": sizes.steps,
    }  # fmt: skip


def schedule(times: StepTimes, images: int, seconds: float, most: int) -> dict[str, int]:
    """Epochs of the three stages in their proportions, as many as fit; at least 1, 1 and 2."""
    steps = images // times.batch
    mean = SHARES["pretrain_epochs"] * times.dense_s + (1 - SHARES["pretrain_epochs"]) * times.joint_s
    total = min(most, max(0.0, seconds) / (steps * mean))
    return {name: max(LEAST_EPOCHS[name], int(share * total)) for name, share in SHARES.items()}


def outcome(result: TrainResult) -> dict[str, Any]:
    """Accuracies, costs and the rates of the stages. `train` judges the budget: it raises if it was missed."""
    rates: dict[str, list[float]] = {}
    for row in result.history:
        rates.setdefault(row["stage"], []).append(row["samples_per_s"])
    return {
        "dense_accuracy": result.dense_accuracy, **result.evaluation.to_json(), "budget": BUDGET,
        "uncalibrated_cost": result.uncalibrated.cost, "budget_met": True,
        "images_per_s": {stage: statistics.median(values) for stage, values in rates.items()},
    }  # fmt: skip
