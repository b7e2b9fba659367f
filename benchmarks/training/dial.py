"""What a budget dial costs in accuracy: one network at every budget, beside networks that were trained for each.

    python -m benchmarks.training.dial build/dial                # trains what is missing, one to six minutes a run
    python -m benchmarks.training.dial build/dial --measure      # compiles with budgets, and writes the rows

M-CifarNet x0.25 at 16 pixels on digits and on MixCues, SANP. The dial turns the network that was trained for half of
the dense MACs; the others were trained for 85 % and 70 % of that. Thresholds come from every second test image, all
accuracies are those on the others.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser
from benchmarks.training.backbones import SETTINGS, SIZE, WIDTH, cli, train_once
from benchmarks.training.rows import RESULTS, write_rows

MODEL, TRAINED, BUDGETS = "m-cifarnet", 0.5, (0.85, 0.7)
ALL_SAMPLES = 100_000  # of the test split, however many it has


def budgets_of(folder: Path, budgets: tuple[float, ...]) -> dict[str, Any]:
    """The record of `sanp compile --budgets` for a run, and the verdict of `sanp validate`."""
    source, model, bundle = folder / "checkpoint.safetensors", folder / "model.onnx", folder / "model.sanp"
    cli("export", source, "-o", model, "--samples", ALL_SAMPLES, "--replace")
    code, compiled = cli("compile", model, "-o", bundle, "--budgets", list(budgets), "--replace")
    if code:
        raise subprocess.CalledProcessError(code, f"sanp compile --budgets of {model}")
    code, report = cli("validate", bundle, "--checkpoint", source)
    record = compiled["record"]["budgets"]
    # Without times: a machine that trains beside says nothing about them.
    rows = [{key: value for key, value in row.items() if key != "typical_ms"} for row in record["settings"]]
    return {"samples": record["samples"], "validated": code == 0 and report["passed"], "settings": rows}


def measure(folder: Path, place: Path) -> int:
    """Compile what was trained and write the rows; exit code 1 if a network does not validate."""
    rows = []
    for dataset in SETTINGS:
        turned = budgets_of(folder / f"{dataset}-{TRAINED:g}", BUDGETS)
        for setting in turned["settings"]:
            share = TRAINED * setting["budget"]
            own = budgets_of(folder / f"{dataset}-{share:g}", (1.0,))
            rows.append({
                "dataset": dataset, "model": MODEL, "width": WIDTH, "image_size": SIZE, "samples": turned["samples"],
                "dial": setting, "trained_for": share, "trained": own["settings"][0],
                "validated": turned["validated"] and own["validated"],
            })  # fmt: skip
            print(f"{dataset}, budget {setting['budget']:g} by {setting['rule']}: {_words(setting)}", flush=True)
            print(f"    trained for it: {_words(own['settings'][0])}, {turned['samples']} samples", flush=True)
    write_rows(place, rows)
    return 0 if all(row["validated"] for row in rows) else 1


def _words(setting: dict[str, Any]) -> str:
    return f"{setting['macs'] / 1e3:.1f} k MACs, accuracy {setting['score']:.2%}"


def main() -> int:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of the runs")
    options.add_argument("--only", default="", help="runs whose name contains this, such as digits-0.5")
    options.add_argument("--measure", action="store_true", help="compile instead of training")
    options.add_argument("--json", type=Path, default=RESULTS / "dial.json", help="where the rows go")
    args = options.parse_args()
    if args.measure:
        return measure(args.folder, args.json)
    for dataset, settings in SETTINGS.items():
        for budget in (TRAINED, *(TRAINED * share for share in BUDGETS)):
            name = f"{dataset}-{budget:g}"
            if args.only in name:
                common = {"model": MODEL, "dataset": dataset, "budget": budget, "width": WIDTH, "image_size": SIZE}
                train_once(args.folder / name, {**common, **settings})
                print(f"{name}: trained", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
