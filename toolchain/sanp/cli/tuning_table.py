"""What `sanp compile --tune` found, for a person."""

from __future__ import annotations

from typing import Any

from sanp.cli.console import out, table


def print_tuning(record: dict[str, Any]) -> None:
    """A row per layer, and what the choice means for the network. record: `options.tuning` of a manifest."""
    machine, layers, network = record["machine"], record["layers"], record["network_ms"]
    changed = [name for name, row in layers.items() if row["fastest"] != row["model"]]
    title = f"Kernels tuned on {machine['cpu_model'] or machine['arch']} ({machine['isa']}), "
    title += f"{record['threads']} thread, batch {record['batch']}, inputs: {record['inputs']}"
    columns = [("layer", "left"), ("cost model", "left"), ("us", "right"), ("fastest", "left"), ("us", "right")]
    out.print(table(title, [*columns, ("", "right")], [_row(name, row) for name, row in layers.items()]))
    if network is None:
        out.print(f"No algorithm beats the cost model in any of the {len(layers)} layers timed; it keeps the choice.")
    else:
        times = f"network {network['model']:.3f} -> {network['tuned']:.3f} ms"
        done = "kept" if record["kept"] else "not kept, because the whole network is slower with them"
        out.print(f"{len(changed)} of {len(layers)} layers have a faster algorithm, {times}: {done}.")


def _row(name: str, row: dict[str, Any]) -> list[str]:
    model = [name, row["model"], f"{row['model_ms'] * 1e3:.1f}"]
    if row["fastest"] == row["model"]:
        return [*model, "", "", ""]
    return [*model, row["fastest"], f"{row['fastest_ms'] * 1e3:.1f}", f"{row['fastest_ms'] / row['model_ms'] - 1:+.0%}"]
