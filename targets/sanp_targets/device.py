"""Fingerprint of the machine: what has to be the same before two latencies may be compared."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from typing import Any, Dict, List, Mapping, Optional

from sanp_targets.power_mode import power_mode
from sanp_targets.processor import frequency_policies, is_virtual, processor
from sanp_targets.pseudo_files import Root, read
from sanp_targets.sensors.quota import cpu_limit


def fingerprint(root: Root = "/") -> Dict[str, Any]:
    """Describe this machine (or a fake tree) as plain JSON; what the system does not tell is None or empty."""
    policies = frequency_policies(root)
    governors = sorted({row["governor"] for row in policies if row["governor"]})
    return {
        "arch": platform.machine(),
        "board": board(root),
        **processor(root),
        "memory_mb": _memory_mb(root),
        "affinity": affinity(),
        "cpu_limit": cpu_limit(root),
        "governor": "+".join(governors) or None,
        "frequency": policies,
        "power_mode": power_mode(root),
        "virtual": is_virtual(root),
        "kernel": read(root, "proc/sys/kernel/osrelease"),
        "os": _os_name(root),
        "bsp": read(root, "etc/nv_tegra_release"),
    }


def device_id(device: Mapping[str, Any]) -> str:
    """Short name of a machine: equal for two fingerprints of one machine, whatever its load, clocks and kernel."""
    identity = {key: device.get(key) for key in ("arch", "board", "cpu_model", "cores", "isa", "caches")}
    if device.get("accelerator"):  # TensorRT of another version times differently on the same GPU
        identity["accelerator"] = {key: device["accelerator"].get(key) for key in ("gpu", "sm", "tensorrt", "cuda")}
    identity["memory_gb"] = round((device.get("memory_mb") or 0) / 1024)  # kernels reserve varying megabytes
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def describe(device: Mapping[str, Any]) -> str:
    """One line for a person."""
    model = device.get("cpu_model") or f"unknown {device.get('arch')} processor"
    parts = [device["board"]] if device.get("board") else []
    parts.append(f"{model}, {device.get('cores') or '?'} logical cores")
    if device.get("accelerator"):
        parts.append(f"{device['accelerator'].get('gpu')}, TensorRT {device['accelerator'].get('tensorrt')}")
    if device.get("virtual"):
        parts.append(str(device["virtual"]))
    return ", ".join(parts)


def board(root: Root = "/") -> Optional[str]:
    """Board model from the device tree (ARM) or the firmware (x86), or None."""
    return read(root, "proc/device-tree/model") or read(root, "sys/firmware/devicetree/base/model")


def affinity() -> Optional[List[int]]:
    """Logical processors that this process may use; None where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))


def _memory_mb(root: Root) -> Optional[int]:
    for line in (read(root, "proc/meminfo") or "").splitlines():
        fields = line.split()
        if fields[:1] == ["MemTotal:"] and len(fields) > 1 and fields[1].isdigit():
            return int(fields[1]) // 1024
    return None


def _os_name(root: Root) -> Optional[str]:
    for line in (read(root, "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return None
