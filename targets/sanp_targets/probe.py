"""What a machine is, read below a root, and which targets fit it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from sanp_targets.device import fingerprint
from sanp_targets.processor import cpuinfo
from sanp_targets.pseudo_files import Root, read
from sanp_targets.software import cuda_version, gpus, l4t_release, tensorrt_version, trtexec_path
from sanp_targets.target import Release, Target


def probe(targets: Sequence[Target], root: Root = "/") -> Dict[str, Any]:
    """Everything that is known about a machine, and a row for each target: does it fit, and why not.

    root: "/" for this machine, or a folder that holds /proc, /sys, /etc and /usr of another one. The keys are those of
    the fingerprint, and `compatible`, `l4t`, `jetpack`, `tensorrt`, `trtexec`, `cuda`, `gpus` (address -> model),
    `targets` (name, fits, reason, file) and `best`, the name of the closest target that fits. What is not known is
    None or empty.
    """
    machine: Dict[str, Any] = {
        **fingerprint(root),
        "compatible": read(root, "proc/device-tree/compatible"),
        "l4t": l4t_release(root),
        "tensorrt": tensorrt_version(root),
        "trtexec": trtexec_path(root),
        "cuda": cuda_version(root),
        "gpus": gpus(root),
    }
    if str(root) != "/":
        machine["arch"], machine["affinity"] = _arch(root), None
    rows = [
        {"name": target.name, "fits": reason is None, "reason": reason, "file": target.file}
        for target in targets
        for reason in [why_not(target, machine)]
    ]
    fitting = [target for target, row in zip(targets, rows) if row["fits"]]
    best = max(fitting, key=_closeness, default=None)
    release = _release(best, machine["l4t"]) if best is not None else None
    return {
        **machine,
        "jetpack": release.name if release is not None else None,
        "targets": rows,
        "best": best.name if best is not None else None,
    }


def why_not(target: Target, machine: Mapping[str, Any]) -> Optional[str]:
    """Why a target does not fit a machine, in words; None if it fits. machine: the keys that `probe` describes."""
    if target.arch != machine["arch"]:
        return f"needs {target.arch}, this is {machine['arch'] or 'not known'}"
    lacking = [flag for flag in target.isa if flag not in machine["isa"]]
    if lacking:
        return f"the processor has no {', '.join(lacking)}"
    described = f"{machine['board'] or ''} {machine['compatible'] or ''}"
    if target.boards and not any(text in described for text in target.boards):
        return f"the board is {machine['board'] or 'not known'}"
    if target.gpu is not None and not target.boards and not machine["gpus"]:
        return "there is no GPU with NVIDIA's driver"
    return None


def _closeness(target: Target) -> List[int]:
    """A board says more than a GPU, that more than instructions, and many more than few."""
    return [int(bool(target.boards)), int(target.gpu is not None), len(target.isa)]


def _release(target: Target, l4t: Optional[str]) -> Optional[Release]:
    releases = target.gpu.releases if target.gpu is not None else ()
    for release in releases:
        if l4t is not None and any(f"{l4t}.".startswith(f"{start}.") for start in release.l4t):
            return release
    return None


def _arch(root: Root) -> Optional[str]:
    """Architecture of the machine whose /proc/cpuinfo this is; `uname` would tell that of the machine that reads."""
    blocks = cpuinfo(root)
    if not blocks:
        return None
    wide = "lm" in blocks[0].get("flags", "").split()
    if "vendor_id" in blocks[0]:
        return "x86_64" if wide else "i686"
    features = blocks[0].get("Features", "").split()
    return ("aarch64" if "asimd" in features else "armv7l") if "CPU implementer" in blocks[0] else None
