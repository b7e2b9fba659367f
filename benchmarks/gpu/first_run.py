"""The first quarter of an hour on a GPU: every question that only a GPU answers, most valuable first, in one command.

    python -m benchmarks.gpu.first_run --output build/gpu-first-run             # on a machine with a GPU and nvcc
    python -m benchmarks.gpu.first_run --rehearse                               # all of it on a CPU, tiny and emulated
    python -m benchmarks.gpu.first_run --stages training,profiles --budget 200  # some stages
    python -m benchmarks.gpu.first_run --stages second --budget 200             # confirm what was changed

Each stage runs in its own process under a time limit and writes <output>/<stage>.json as it goes; summary.json and
summary.txt follow every stage. A second command with the same output goes on with the stages that did not end well.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser, write_json
from benchmarks.gpu.stages import SECOND, STAGES, THIRD
from benchmarks.gpu.visit import summary, wheels
from benchmarks.gpu.visit.entry import Entry
from benchmarks.gpu.visit.record import read
from benchmarks.gpu.visit.runner import ROOT, Runner
from benchmarks.gpu.visit.sources import commit, digest

BUDGET_SECONDS = 780.0
VISITS = {"second": SECOND, "third": THIRD}
SITE = ROOT / "build/gpu-site"
KEPT = {".json", ".txt", ".log", ".jsonl", ".xml"}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__)
    made.add_argument("--rehearse", action="store_true", help="run everything on a CPU with emulated kernels")
    made.add_argument("--output", type=Path, default=Path("build/gpu-first-run"), help="folder of the results")
    made.add_argument(
        "--stages", type=chosen, default=STAGES, help="comma-separated, or second, or third; default: a first visit's"
    )
    made.add_argument("--budget", type=float, default=BUDGET_SECONDS, help="seconds for all stages together")
    made.add_argument("--wheels", type=Path, default=ROOT / "build/gpu-wheels", help="packages this machine lacks")
    made.add_argument("--archive", type=Path, help="keep all texts of the output packed in this .tar.gz as well")
    made.add_argument("--commit", help="what to write down as the commit, where git is missing")
    return made.parse_args(arguments)


def chosen(text: str) -> tuple[Entry, ...]:
    """The stages of a list of names, in their usual order; "second" and "third" stand for those of such a visit."""
    if text in VISITS:
        return VISITS[text]
    names, known = text.split(","), {entry.name: entry for entry in (*SECOND, *STAGES)}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no stage {unknown[0]!r}, expected second, third or some of {', '.join(known)}"
        )
    return tuple(entry for name, entry in known.items() if name in names)


def install_missing(folder: Path) -> dict[str, Any]:
    """Install the carried wheels if a package is missing; which were missing, which were installed."""
    lacking = wheels.missing()
    carried = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    installed = wheels.install(carried, SITE) if lacking else ""
    return {"packages missing": ", ".join(lacking), "packages installed": installed}


def main(arguments: list[str] | None = None) -> int:
    """Run the stages; 0 if every one of them is ok or skipped for a reason."""
    options = parse(arguments)
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    notes, noted = install_missing(options.wheels), {"commit": options.commit or commit(ROOT)}
    facts = {"sources": digest(ROOT), "rehearsal": options.rehearse}

    def summarise() -> None:
        contents = results(output, facts)
        write_json(output / "summary.json", summary.as_json(contents, options.rehearse, notes))
        (output / "summary.txt").write_text(summary.text(contents, options.rehearse, notes), encoding="utf-8")
        if options.archive is not None:
            pack(output, options.archive)

    environment = wheels.environment(SITE) if SITE.is_dir() and notes["packages missing"] else wheels.environment()
    runner = Runner(output, options.budget, options.rehearse, facts, noted, environment, summarise)
    found = runner.run(options.stages)
    summarise()
    print(summary.text(results(output, facts), options.rehearse, notes, tables=False))
    return int(any(content["status"] not in ("ok", "skipped") for content in found.values()))


def results(folder: Path, facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages' files of a folder, without those of a rehearsal if this is none; older sources are pointed out."""
    contents = {}
    for entry in {entry.name: entry for entry in (*STAGES, *SECOND)}.values():
        found = read(folder / f"{entry.name}.json")
        if found is not None and found["facts"].get("rehearsal") == facts["rehearsal"]:
            if found["facts"].get("sources") != facts["sources"]:
                found["reason"] = f"(from other sources) {found['reason']}"
            contents[entry.name] = found
    return contents


def pack(folder: Path, archive: Path) -> None:
    """All texts of a folder in one .tar.gz, which is there as a whole or not at all."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in KEPT:
                tar.add(path, arcname=str(path.relative_to(folder)))
    temporary = archive.with_name(f".{archive.name}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(packed.getvalue())
    temporary.replace(archive)


if __name__ == "__main__":
    sys.exit(main())
