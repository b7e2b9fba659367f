"""What a bundle for ONNX Runtime has to pass before it is kept: a check here, a self-test on the board, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sanp.pipeline.compile.job import Compiled, Job, Log, compiled
from sanp.pipeline.on_board import self_test_there
from sanp.remote.board import Board
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_runtime.engines.proof import Proof
from sanp_runtime.engines.shared_object import machine_of
from sanp_targets.errors import ConfigError, InputError, TargetError
from sanp_targets.targets import Target, check_runs_here, host_arch


def runs_here(target: Target) -> bool:
    """Whether this machine has the architecture of a target."""
    return target.arch == host_arch()


def check_reach(job: Job) -> None:
    """Raise TargetError or ConfigError for a target that neither this machine nor a board can try, or not as asked."""
    part, remote = job.settings.onnxruntime, job.settings.remote
    if remote.on_board and job.answers is None:
        raise ConfigError(
            f"{job.described.name} came without samples, expected some to test the bundle with on {remote.host}; "
            "export the model with --samples above 0, or leave --host out"
        )
    if not remote.on_board:  # else `reach` has asked the board
        check_runs_here(job.target)
    if runs_here(job.target):
        return
    timed = {"--tune": part.tune, "--kernels auto": part.kernels == "auto", "--budgets": bool(part.budgets)}
    asked = [flag for flag, given in timed.items() if given]
    if asked:
        raise ConfigError(
            f"{asked[0]} times kernels where it runs, and this machine is {host_arch()}, the target {job.target.arch}; "
            "leave it out, or compile on the board"
        )


def library_of(job: Job) -> Path:
    """The operator library of the target: that of this installation, or the one that was named.

    TargetError if one has to be named, InputError if it is for another machine.
    """
    library = job.settings.onnxruntime.library
    if library is None and not runs_here(job.target):
        raise TargetError(
            f"target {job.target.name} needs the operator library for {job.target.arch}, and that of this installation "
            f"is for {host_arch()}; name one with --library, which docs/boards.md says how to build"
        )
    if library is None:
        return find_library()
    found = machine_of(library)
    if found != job.target.arch:
        raise InputError(
            f"{library}: is {f'for {found}' if found else 'no shared object'}, expected an operator library for "
            f"{job.target.arch}; build it as docs/boards.md says"
        )
    return library


class Acceptance:
    """The check that `BundleWriter.finish` runs on the complete bundle, under its temporary name.

    name: that of the bundle, as messages of a board show it. here: the check on this machine, which may prove.
    """

    def __init__(self, job: Job, name: str, log: Log, here: Callable[[Bundle], Proof | None]) -> None:
        self._job, self._name, self._log, self._here = job, name, log, here
        self._proof: Proof | None = None
        self._self_test: dict[str, Any] | None = None

    def __call__(self, candidate: Bundle) -> None:
        """Raise what the checks raise."""
        if runs_here(self._job.target):
            self._proof = self._here(candidate)
        remote = self._job.settings.remote
        if remote.on_board:
            with Board(remote, self._log) as board:
                self._log(f"testing the bundle on {remote.host}")
                row = self._self_test = self_test_there(board, candidate, self._name)
            if row["proof"] is not None:
                self._proof = Proof.from_json(row["proof"]).require()

    def compiled(self, bundle: Bundle) -> Compiled:
        """What was made, with what the checks found."""
        made = compiled(bundle, self._proof)
        return made if self._self_test is None else replace(made, record={**made.record, "self_test": self._self_test})
