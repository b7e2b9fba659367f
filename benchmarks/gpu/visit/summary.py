"""The summary of a visit: JSON for later, and a text that can be read at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.gpu.visit.goals import Contents, Goal, goals

SERVER_NOTE = "These are figures of the GPU named above. They are no figures of an edge board."
REHEARSAL_NOTE = "REHEARSAL: emulated kernels on a CPU. No number here says anything about a GPU; goals are not judged."


def as_json(contents: Contents, rehearsal: bool, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Facts, status of every stage, goals, and the small results; the rest stays in the files of the stages."""
    stages = {
        name: {key: content.get(key) for key in ("status", "reason", "wall_s")} for name, content in contents.items()
    }
    return {
        **notes, "rehearsal": rehearsal, "facts": _facts(contents), "stages": stages,
        "goals": [goal.as_json() for goal in goals(contents, rehearsal)],
    }  # fmt: skip


def text(contents: Contents, rehearsal: bool, notes: Mapping[str, Any], tables: bool = True) -> str:
    """The same for people. tables: with one line for every layer."""
    facts = _facts(contents)
    parts = [REHEARSAL_NOTE if rehearsal else SERVER_NOTE, ""]
    parts += [f"{key}: {value}" for key, value in {**notes, **facts}.items() if value not in ("", [], None)]
    parts += ["", "stages"]
    for name, content in contents.items():
        wall = f"{content.get('wall_s', 0):.0f} s"
        parts.append(f"  {name:<12} {content['status']:<10} {wall:>6}  {content.get('reason', '')[:300]}".rstrip())
    parts += ["", "goals", *(f"  {line}" for line in map(_goal_line, goals(contents, rehearsal)))]
    sections = {"kernel tests": _tests, "cost model": _cost, "networks": _networks, "training": _training,
                "steps": _steps, "few multiprocessors": _few}  # fmt: skip
    for name, lines in sections.items():
        found = list(lines(contents))
        parts += ["", name, *(f"  {line}" for line in found)] if found else []
    for stage in ("layers", "short_layers"):
        table = _of(contents, stage).get("table", "")
        parts += ["", stage, table] if tables and table else []
    return "\n".join(parts) + "\n"


def _facts(contents: Contents) -> dict[str, Any]:
    """The fullest facts of any stage: one that could not start knows little."""
    return dict(max((content.get("facts", {}) for content in contents.values()), key=len, default={}))


def _goal_line(goal: Goal) -> str:
    verdict = {True: "REACHED", False: "NOT REACHED", None: "not judged"}[goal.reached]
    value = "-" if goal.value is None else f"{goal.value:.2f}x"
    return f"{verdict}: {goal.name}: {value}, wanted {goal.wanted} ({goal.detail})"


def _of(contents: Contents, stage: str) -> Mapping[str, Any]:
    return contents.get(stage, {}).get("numbers", {})


def _tests(contents: Contents) -> Iterable[str]:
    for row in [*_of(contents, "build").get("tests", []), *_of(contents, "check").get("tests", [])]:
        counts = ", ".join(f"{row[key]} {key}" for key in ("passed", "failed", "skipped") if key in row)
        yield f"{row['name']}: {row.get('problem') or counts}, {row['seconds']:.0f} s"
        yield from (f"  {bad['test']}: {bad['said'][:200]}" for bad in row.get("failures", [])[:3])
    sanitizer = _of(contents, "build").get("sanitizer")
    if sanitizer:
        sample = " (a sample, not a result)" if sanitizer.get("sample") else ""
        yield f"compute-sanitizer: {sanitizer.get('problem') or str(sanitizer['errors']) + ' errors'}{sample}"[:400]


def _cost(contents: Contents) -> Iterable[str]:
    for element, fit in _of(contents, "layers").get("cost_model", {}).items():
        if "problem" in fit:
            yield f"{element}: {fit['problem']}"
            continue
        yield f"{element}, {fit['rows']} timed plans; constants of runtime/native/cuda/conv/cost.cc, today -> fitted:"
        yield from (f"  {name:<18} {fit['today'][name]:>10.1f} -> {value:.1f}" for name, value in fit["fitted"].items())
        for which in ("today", "fitted"):
            error, choice = fit[f"{which}_error"], fit[f"{which}_choice"]
            yield f"  {which}: error of the estimate {error:.2f} (log); chosen plan over the best timed one:"
            yield f"    mean {choice['mean']:.2f}x, worst {choice['worst']:.2f}x at {choice['worst_shape']}"


def _networks(contents: Contents) -> Iterable[str]:
    for row in _of(contents, "networks").get("batches", []):
        times = ", ".join(f"{name} {row[f'{name}_us']:.0f} us" for name in ("dense", "gated", "narrowed"))
        yield f"batch {row['batch']}: {times}; {row['speedup']:.2f}x at {row['cost']:.0%} of the multiply-adds"
        yield "  " + ", ".join(f"{name} {us:.0f}" for name, us in row["us"].items())


def _training(contents: Contents) -> Iterable[str]:
    numbers = _of(contents, "training")
    for row in numbers.get("steps", []):
        steps = f"dense {row['dense_ms']:.1f} ms, joint {row['joint_ms']:.1f} ms ({row['ratio']:.2f}x)"
        rates = f"{row['dense_images_per_s']:.0f} and {row['joint_images_per_s']:.0f} images per second"
        yield f"{row['precision']}: {steps}, {rates}"
    result = numbers.get("result")
    if result and "problem" in result:
        yield f"trained: {result['problem']}"
    elif result:
        met = "met" if result["budget_met"] else "NOT met"
        yield (f"trained: accuracy {result['accuracy']:.4f} (dense {result['dense_accuracy']:.4f}) at "
               f"{result['cost']:.1%} of the multiply-adds, budget {result['budget']:.0%} {met}")  # fmt: skip
        yield f"epochs: {numbers['schedule']}, {numbers['seconds']:.0f} s"


def _steps(contents: Contents) -> Iterable[str]:
    numbers = _of(contents, "steps")
    for row in numbers.get("steps", []):
        way = "replayed as a graph" if row["cuda_graph"] else "started from Python"
        times = f"dense {row['dense_ms']:.1f} ms, joint {row['joint_ms']:.1f} ms ({row['ratio']:.2f}x)"
        yield f"steps, {row['precision']}, {way}: {times}"
    found = numbers.get("agreement")
    if found:
        losses = "; ".join(f"{way} {', '.join(f'{x:.6g}' for x in row)}" for way, row in found["losses"].items())
        verdict = f", largest difference {found['difference']:.1e}" if "difference" in found else ", nothing to compare"
        yield f"losses of the same {found['precision']} steps, {found['steps']} an epoch: {losses}{verdict}"


def _few(contents: Contents) -> Iterable[str]:
    numbers = _of(contents, "few_multiprocessors")
    if "slower" in numbers:
        yield f"{numbers['multiprocessors']} multiprocessors: a large product takes {numbers['slower']:.1f}x the time"
    for row in numbers.get("layers", []):
        ours = ", ".join(
            f"keep {keep} {us:.1f} ({row['best_dense_us'] / us:.2f}x, {row['plans'][keep]})"
            for keep, us in row["gated_us"].items()
        )
        yield f"{row['layer']}, batch {row['batch']}: dense {row['best_dense_us']:.1f} us, {ours}"
    found = numbers.get("network")
    if found:
        times = ", ".join(f"{name} {us:.0f}" for name, us in found["us"].items())
        yield f"network, batch {found['batch']}: {times}"
