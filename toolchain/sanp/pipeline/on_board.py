"""The steps that run on a board: measure, check, build. Each takes a reached `Board`, and gives what it gives here."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from sanp.remote.board import Board, Facts, Log, Ran
from sanp.remote.files import Sent, of_bundle, of_bytes, of_code
from sanp.settings.profile import ProfileSettings
from sanp.settings.remote import RemotePart
from sanp.settings.validate import ValidateSettings
from sanp_runtime.board.job import GRACE_S
from sanp_runtime.board.store import CODE, TEMPORARY
from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.manifest_reading import loads
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import MANIFEST_FILE, ONNXRUNTIME, REFERENCE_FILE
from sanp_runtime.measure.energy import MIN_WINDOW_S
from sanp_runtime.validate.text import failed_levels, levels_in
from sanp_targets.controls.held import RESTORE_S
from sanp_targets.errors import ConfigError, InputError, MeasurementError, SanpError, TargetError, ValidationError
from sanp_targets.targets import HOST, Target, host, host_arch, resolve

_RUN = ("-m", "sanp_runtime")
_ERRORS: dict[int, type[SanpError]] = {1: ValidationError, 2: InputError, 3: TargetError, 4: MeasurementError}
_SHOWN_LINES = 8
_PROCESSOR = "import json; from sanp_targets.processor import processor; print(json.dumps(processor()))"
_TAKEN = ("", CODE, TEMPORARY, REFERENCE_FILE)


def profile_there(board: Board, bundle: Bundle, settings: ProfileSettings) -> dict[str, Any]:
    """The JSON of a profile on the board; a noisy one is returned too, as the local one is."""
    _check_measuring(board, bundle.manifest, settings, measuring_s(bundle.manifest, settings))
    flags = [*profile_flags(settings), "--allow-invalid"]
    return _json(board, _run(board, "profile", bundle, flags, {}, "measuring", grace_s=grace_s(settings)))


def table_there(board: Board, bundle: Bundle, settings: ProfileSettings) -> dict[str, Any]:
    """The JSON of a latency table that was measured on the board."""
    _check_measuring(board, bundle.manifest, settings, settings.duration)
    flags = [f"--threads={settings.threads}", f"--duration={settings.duration!r}", *_controls(settings)]
    flags.append("--allow-invalid")
    return _json(board, _run(board, "table", bundle, flags, {}, "measuring", grace_s=grace_s(settings)))


def measuring_s(manifest: Manifest, settings: ProfileSettings) -> float:
    """Seconds that a profile measures on a board at most: latencies, then budgets, then energy; without warm-up."""
    ways = len(manifest.measured)
    energy = (1 + ways) * max(MIN_WINDOW_S, settings.duration / ways)  # a window for each, and one of the idle machine
    return settings.duration * (1 + settings.budgets) + energy * settings.energy


def grace_s(settings: ProfileSettings) -> float:
    """Seconds that a measurement which is stopped gets to end: longer if it has a power mode or clocks to set back."""
    return GRACE_S + (RESTORE_S if settings.power_mode is not None or settings.fix_clocks else 0.0)


def _check_measuring(board: Board, manifest: Manifest, settings: ProfileSettings, seconds: float) -> None:
    check(board, manifest)
    settings.check_threads(board.facts.cores, str(board.remote.host))
    limit = settings.remote.board_timeout
    if seconds >= limit:
        beside = "" if seconds == settings.duration else f", {seconds:g} s with what else was asked for,"
        raise ConfigError(
            f"duration is {settings.duration:g} s{beside} and board_timeout {limit:g} s, expected more time on the "
            "board than is measured; raise --board-timeout"
        )


def profile_flags(settings: ProfileSettings) -> list[str]:
    """What `python -m sanp_runtime profile` is told of the settings; the others are for this side."""
    flags = [f"--threads={settings.threads}", f"--batch={settings.batch}", f"--duration={settings.duration!r}"]
    flags += [] if settings.size is None else [f"--size={settings.size}"]
    flags += [] if settings.budget is None else [f"--budget={settings.budget!r}"]
    flags += [*_controls(settings), *["--energy"] * settings.energy]
    return flags + ["--budgets"] * settings.budgets


def _controls(settings: ProfileSettings) -> list[str]:
    mode = [] if settings.power_mode is None else [f"--power-mode={settings.power_mode}"]
    return mode + ["--fix-clocks"] * settings.fix_clocks


def validate_there(board: Board, bundle: Bundle, reference: Reference, settings: ValidateSettings) -> dict[str, Any]:
    """The JSON of a validation on the board with these samples and PyTorch's answers; a failed level is no error."""
    check(board, bundle.manifest)
    flags = [f"--reference={REFERENCE_FILE}", *validate_flags(settings)]
    files = {REFERENCE_FILE: of_bytes(reference.dumps())}
    return _json(board, _run(board, "self-test", bundle, flags, files, "validating"), failed_is_fine=True)


def validate_flags(settings: ValidateSettings) -> list[str]:
    """What `python -m sanp_runtime self-test` is told of the settings; the others are for this side."""
    flags = [f"--threads={settings.threads}", f"--relative={settings.relative!r}"]
    return flags + ([] if settings.max_drop is None else [f"--max-drop={settings.max_drop!r}"])


def self_test_there(board: Board, bundle: Bundle, name: str = "") -> dict[str, Any]:
    """The JSON of a self-test of a bundle that passed on the board; ValidationError with its levels if it did not.

    name: what the bundle is called there, by default its own name.
    """
    check(board, bundle.manifest)
    ran = _run(board, "self-test", bundle, [], {}, "testing the bundle", name)
    row = _json(board, ran, failed_is_fine=True)
    failed = failed_levels(row)
    if failed:
        raise ValidationError(
            f"{board.remote.host}: the self-test failed in {', '.join(failed)}, expected every level to pass ("
            + "; ".join(levels_in(row)[level]["summary"] for level in failed)
            + "); the bundle was not kept"
        )
    return row


def build_there(board: Board, bundle: Bundle) -> tuple[dict[str, Any], Bundle]:
    """Build the engines of a TensorRT bundle on the board and bring them back: its account, and the bundle with them.

    Every file is checked against its sha256 and the bundle takes its name when it is complete. The board keeps the
    engines as well, so that a profile need not send them again.
    """
    check(board, bundle.manifest, built=False)
    row = _json(board, _run(board, "build", bundle, [], {}, "building engines"))
    files = board.made(folder_of(bundle))
    manifest = loads(board.fetch(files[MANIFEST_FILE][0]).decode("utf-8"))
    with BundleWriter(bundle.path, replace=True) as writer:
        for name, entry in manifest.files.items():
            if bundle.manifest.files.get(name) == entry:
                writer.add_file(name, bundle.path / name)
            else:
                writer.add_bytes(name, board.fetch(entry.sha256))
        return row, writer.finish(manifest)


def reach(remote: RemotePart, target: str, log: Log) -> Target:
    """The target of this name if the board that was named can run it, before anything is compiled for it.

    "host" is the processor of the board. Raises TargetError as `check` does.
    """
    with Board(remote, log) as board:
        found = host(board.facts.machine) if target == HOST else resolve(target)
        _check_target(board, {"name": found.name, "arch": found.arch, "backend": found.backend})
        check_instructions(board, found)
    return found


def check_instructions(board: Board, target: Target) -> None:
    """Raise TargetError if the processor of the board lacks instructions that a target is for; asks only if there are.

    The board's own account of its processor, read there by `sanp_targets.processor`.
    """
    if not target.isa:
        return
    ran = board.run(["-c", _PROCESSOR], of_code(), "reading the processor")
    machine = _json(board, ran)
    lacking = [flag for flag in target.isa if flag not in machine["isa"]]
    if lacking:
        raise TargetError(
            f"{board.remote.host}: is {machine['cpu_model']}, which has no {', '.join(lacking)}, expected "
            f"{', '.join(target.isa)} for {target.name}; name a target of this board, which `sanp targets probe` finds "
            "there"
        )


def check(board: Board, manifest: Manifest, built: bool = True) -> None:
    """Raise TargetError, before anything is sent, for a board on which a bundle cannot run.

    built: whether engines of TensorRT have to be in the bundle already.
    """
    _check_target(board, manifest.target)
    if built and not manifest.engines_built:
        name, there = manifest.target["name"], board.remote.host
        raise TargetError(
            f"{manifest.name} has no engines yet, expected those of {there}; "
            f"`sanp compile MODEL -o BUNDLE --target {name} --host {there}` builds them there"
        )


def _check_target(board: Board, target: Mapping[str, str]) -> None:
    facts, there = board.facts, board.remote.host
    if host_arch(facts.machine) != target["arch"]:
        raise TargetError(
            f"{there}: is {facts.machine}, and the bundle is for {target['name']}, expected {target['arch']}; compile "
            "the model for a target of this board"
        )
    if "numpy" not in facts.packages:
        raise TargetError(_lacks(board, "numpy", "pip install numpy"))
    if target["backend"] == ONNXRUNTIME and "onnxruntime" not in facts.packages:
        raise TargetError(_lacks(board, "onnxruntime", "pip install onnxruntime"))


def _lacks(board: Board, package: str, cure: str) -> str:
    facts: Facts = board.facts
    python = board.remote.board_python
    return (
        f"{board.remote.host}: {python!r} (Python {facts.python}) has no {package}, expected it there; run "
        f"`{python} -m {cure}` on the board, or name another Python with --board-python"
    )


def _run(
    board: Board,
    command: str,
    bundle: Bundle,
    flags: Sequence[str],
    files: dict[str, Sent],
    doing: str,
    name: str = "",
    grace_s: float = GRACE_S,
) -> Ran:
    name = name or folder_of(bundle)
    sent = {**of_code(), **of_bundle(bundle, name), **files}
    return board.run([*_RUN, command, name, "--json", *flags], sent, doing, grace_s)


def folder_of(bundle: Bundle) -> str:
    """The name of a bundle on the board: its own, as messages show it, unless that means something else there."""
    name = bundle.path.resolve().name
    return "bundle" if name in _TAKEN or name.startswith("-") else name


def _json(board: Board, ran: Ran, failed_is_fine: bool = False) -> dict[str, Any]:
    """The result that a command printed; the error that it ended with, as it would be raised here."""
    if ran.code == 0 or (failed_is_fine and ran.code == ValidationError.exit_code and ran.output):
        try:
            found = parse_json(ran.output.decode("utf-8"))
        except ValueError as error:
            raise InputError(
                f"{board.remote.host}: the answer is not JSON ({error}), expected one object on standard output; check "
                "what the Python of the board prints by itself"
            ) from error
        return dict(found)
    there = board.remote.host
    said = next((line[len("error: ") :] for line in reversed(ran.lines) if line.startswith("error: ")), None)
    if said is not None and ran.code in _ERRORS:
        raise _ERRORS[ran.code](f"{there}: {said}")
    if ran.code < 0:
        name = signal.Signals(-ran.code).name
        cure = "most often too little memory; use a smaller batch, or close what else runs there"
        raise TargetError(f"{there}: the command was ended by {name}, expected it to finish; {cure}")
    if said is not None:
        raise TargetError(f"{there}: {said}")
    last = "\n  ".join(line for line in ran.lines[-_SHOWN_LINES:] if line)
    raise TargetError(
        f"{there}: the command ended with {ran.code}, expected a result:\n  {last}\ncheck the Python of the board, its "
        "numpy and its onnxruntime"
    )
