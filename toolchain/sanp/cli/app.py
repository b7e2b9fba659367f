"""The `sanp` command: one verb per file, errors as one sentence, exit codes that a script can rely on."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from sanp import __version__
from sanp.cli import (
    analyze_command,
    compare_command,
    compile_command,
    demo_command,
    doctor_command,
    export_command,
    inspect_command,
    profile_command,
    report_command,
    targets_command,
    train_command,
    validate_command,
)
from sanp.cli.console import err, fail, open_streams
from sanp_runtime.cli.process import (
    BROKEN_PIPE,
    NO_MEMORY,
    NO_MEMORY_SENTENCE,
    NO_OUTPUT,
    drop_output,
    is_output_failure,
    lacks_memory,
    output_sentence,
)
from sanp_targets.errors import SanpError, TargetError

EXIT_CODES = (
    "Exit codes: 0 pass, 1 a check failed, 2 usage or bad input, 3 target or backend not available, "
    "4 measurement not valid, 70 a bug, 71 not enough memory, 74 the output cannot be written, 130 interrupted."
)
# The base install is what a device needs; these come with extras.
_EXTRAS = {
    "torch": "[train,export]",
    "sklearn": "[train]",
    "torch_pruning": "[train]",
    "safetensors": "[train]",
    "PIL": "[train]",
    "onnx": "[export]",
    "onnxscript": "[export]",
    "onnx_graphsurgeon": "[export]",
    "jinja2": "[report]",
    "matplotlib": "[report]",
}
_INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a bug, and none of the documented outcomes

app = typer.Typer(
    name="sanp",
    help="Train channel-gated CNNs, export them to ONNX, compile them for a device, and prove that they got faster.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    train_command.train,
    export_command.export,
    compile_command.compile_,
    validate_command.validate,
    profile_command.profile,
    inspect_command.inspect,
    analyze_command.analyze,
    report_command.report,
    compare_command.compare,
    targets_command.targets,
    doctor_command.doctor,
    demo_command.demo,
):
    app.command(name=command.__name__.rstrip("_"))(command)


def _version(requested: bool) -> None:
    if requested:
        print(f"sanp {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Entry point: run a verb and turn errors into one line and an exit code."""
    open_streams()  # again: whoever called may have replaced them since the import
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")  # accepted anywhere on the line, because it is added after something failed
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a full disk can still be said in a sentence
    except SanpError as error:
        if debug:
            raise
        fail("error", str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
    except OSError as error:
        if debug or not is_output_failure(error):
            _unexpected(error, debug)
        drop_output()
        if isinstance(error, BrokenPipeError):  # who reads has seen enough
            sys.exit(BROKEN_PIPE)
        fail("error", output_sentence(error))
        sys.exit(NO_OUTPUT)
    except Exception as error:
        _unexpected(error, debug)


def _unexpected(error: Exception, debug: bool) -> NoReturn:
    """Memory or a package that is missing, or a bug."""
    if debug:
        raise error
    if lacks_memory(error):
        fail("error", NO_MEMORY_SENTENCE)
        sys.exit(NO_MEMORY)
    missing = _missing_package(error)
    if missing is not None:
        fail("error", missing)
        sys.exit(TargetError.exit_code)
    fail(
        "internal error",
        f"{type(error).__name__}: {error}; this is a bug: run the same command with --debug and report the trace",
    )
    sys.exit(_INTERNAL)


def _missing_package(error: Exception) -> str | None:
    """What to install, if the error is that a package of an extra is absent."""
    package = error.name.split(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else ""
    if package not in _EXTRAS:
        return None
    extra = f"pip install 'sanp-toolchain{_EXTRAS[package]}'"
    return f"{package} is not installed, and this verb needs it; run `{extra}`"
