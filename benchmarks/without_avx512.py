"""Run another benchmark as on a processor without AVX-512, ONNX Runtime and OpenVINO included.

    python -m benchmarks.without_avx512 benchmarks.networks.gated --edge --isa avx2 --rounds 25
    python -m benchmarks.without_avx512 benchmarks.peers.run --isa avx2 --output peers.json

ONNX Runtime chooses its kernels by what the processor says and has no switch. The benchmark therefore imports a
temporary copy of the installed package, in which the instruction that asks which registers the operating system saves
is replaced by the answer "those of AVX2"; it then behaves as on a system that does not save those of AVX-512. OpenVINO
and the C library have switches. Our kernels need --isa avx2. Before a function is timed it is shown to leave the
registers of AVX-512 untouched (wide_registers.py). Linux on x86-64.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import util
from pathlib import Path

from benchmarks.command_line import parser
from benchmarks.wide_registers import DEMANDED

XGETBV, CPUID = b"\x0f\x01\xd0", b"\x0f\xa2"
CLEAR_ECX = b"\x31\xc9"  # register 0 is asked for: the state components that are saved
ANSWER = (
    b"\x8d\x41\x07"  # lea 7(%rcx), %eax: with ecx zero 7, which is x87, SSE and AVX. Nobody reads the upper half, edx.
)
# The C library moves memory through registers 16 to 31 where it may.
C_LIBRARY = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD"
EXTENSION = "onnxruntime_pybind11_state*.so"
NEAR = 64
# Benchmarks that show of everything they time that it used no AVX-512.
PROVEN = (
    *(f"benchmarks.kernels.{name}" for name in ("layers", "blocks", "weights", "int8", "pixels")),
    *(f"benchmarks.networks.{name}" for name in ("gated", "gate_share", "int8")),
    "benchmarks.peers.run",
)


def answered(code: bytes, name: str) -> bytes:
    """A library whose questions for saved registers are answered; SystemExit unless each follows a CPUID closely."""
    question, found, place = CLEAR_ECX + XGETBV, [], -1
    while (place := code.find(question, place + 1)) >= 0:
        found.append(place)
    if not found:
        raise SystemExit(
            f"{name}: does not ask for saved registers as expected; this release cannot be kept from AVX-512"
        )
    for place in found:
        if CPUID not in code[max(0, place - NEAR) : place]:
            raise SystemExit(f"{name}: at {place:#x} XGETBV has no CPUID in the {NEAR} bytes before it, expected one")
    return code.replace(question, CLEAR_ECX + ANSWER)


def copied(package: Path, folder: Path) -> None:
    """A package `onnxruntime` in `folder` whose extension is changed and whose other files are links."""
    extensions = list((package / "capi").glob(EXTENSION))
    if len(extensions) != 1:
        raise SystemExit(f"{package}/capi: {len(extensions)} files are called {EXTENSION}, expected one")
    code = answered(extensions[0].read_bytes(), extensions[0].name)
    made = folder / package.name
    (made / "capi").mkdir(parents=True)
    for source in (*package.iterdir(), *(package / "capi").iterdir()):
        if source.name not in ("capi", "__pycache__") and source != extensions[0]:
            (made / source.relative_to(package)).symlink_to(source)
    (made / "capi" / extensions[0].name).write_bytes(code)
    shutil.copymode(extensions[0], made / "capi" / extensions[0].name)


def environment(folder: Path) -> dict[str, str]:
    """Variables of a process that imports the copy in `folder` and has no AVX-512 elsewhere."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    tunables = [*filter(None, [os.environ.get("GLIBC_TUNABLES")]), C_LIBRARY]
    ours = {"PYTHONPATH": os.pathsep.join(paths), "GLIBC_TUNABLES": ":".join(tunables)}
    return {**os.environ, **ours, "ONEDNN_MAX_CPU_ISA": "AVX2", DEMANDED: "1"}


def main() -> int:
    """Command line: a module of this folder and its arguments."""
    made = parser(__doc__)
    made.add_argument("module", choices=PROVEN, help="the benchmark, whose own options follow")
    options, arguments = made.parse_known_args()
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit(f"Linux on x86-64 is expected, this is {sys.platform} on {platform.machine()}")
    found = util.find_spec("onnxruntime")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("onnxruntime is not installed")
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(found.submodule_search_locations[0]), Path(folder))
        command = [sys.executable, "-m", options.module, *arguments]
        return subprocess.run(command, env=environment(Path(folder)), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
