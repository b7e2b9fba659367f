"""The processor as /proc/cpuinfo and /sys describe it: model, cores, instruction sets, caches, frequency policies."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from sanp_targets.pseudo_files import Root, paths, read, read_int

# Only what our kernels or a reader of a report could care about; cpuinfo has hundreds.
_ISA_FLAGS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vbmi2", "avx512_vnni",
    "avx512_bf16", "avx_vnni",
    "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "asimdfhm", "i8mm", "bf16",
    "sve", "sve2", "sme",
)  # fmt: skip

# ARM kernels report numbers instead of a model name: (implementer, part), from the Main ID Register.
_ARM_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
}


def processor(root: Root = "/") -> Dict[str, Any]:
    """cpu_model, cpu_vendor, cores, physical_cores, isa (list), caches (level -> size); None for what is not known."""
    blocks = cpuinfo(root)
    first = blocks[0] if blocks else {}
    flags = set((first.get("flags") or first.get("Features") or "").split())
    return {
        "cpu_model": _model(blocks),
        "cpu_vendor": first.get("vendor_id") or first.get("CPU implementer"),
        "cores": len(blocks) or None,
        "physical_cores": _physical_cores(blocks),
        "isa": [flag for flag in _ISA_FLAGS if flag in flags],
        "caches": _caches(root),
    }


def has_byte_products(machine: Mapping[str, Any]) -> bool:
    """Whether our kernels of bytes run at full speed there. machine: what `processor` returned."""
    isa = set(machine["isa"])
    return isa >= {"avx512_vnni", "avx512_vbmi2"} or not isa.isdisjoint({"avx_vnni", "asimddp"})


def cpuinfo(root: Root) -> List[Dict[str, str]]:
    """The blocks of /proc/cpuinfo that describe a logical processor."""
    blocks = []
    for text in (read(root, "proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
        block = {key.strip(): value.strip() for key, value in pairs}
        if "processor" in block:
            blocks.append(block)
    return blocks


def is_virtual(root: Root = "/") -> Optional[str]:
    """What shows that this is a virtual machine or a container, or None."""
    blocks = cpuinfo(root)
    if blocks and "hypervisor" in (blocks[0].get("flags") or "").split():
        product = read(root, "sys/class/dmi/id/product_name") or read(root, "sys/class/dmi/id/sys_vendor")
        return f"virtual machine ({product})" if product else "virtual machine"
    if read(root, "sys/hypervisor/type"):
        return f"virtual machine ({read(root, 'sys/hypervisor/type')})"
    if paths(root, ".dockerenv") or paths(root, "run/.containerenv"):
        return "container"
    return None


def frequency_policies(root: Root = "/") -> List[Dict[str, Any]]:
    """cpufreq policies: cpus (list), governor, min_mhz, max_mhz; an empty list if the system does not show them."""
    rows = []
    for folder in paths(root, "sys/devices/system/cpu/cpufreq/policy*"):
        rows.append(
            {
                "policy": folder.rsplit("/", 1)[1],
                "cpus": [int(cpu) for cpu in (read(root, f"{folder}/affected_cpus") or "").split()],
                "governor": read(root, f"{folder}/scaling_governor"),
                "min_mhz": _mhz(root, f"{folder}/scaling_min_freq"),
                "max_mhz": _mhz(root, f"{folder}/scaling_max_freq"),
            }
        )
    return rows


def _mhz(root: Root, path: str) -> Optional[float]:
    value = read_int(root, path)
    return value / 1000.0 if value is not None else None


def _model(blocks: List[Dict[str, str]]) -> Optional[str]:
    named = next((block["model name"] for block in blocks if block.get("model name")), None)
    if named:
        return named
    parts = [(block.get("CPU implementer", ""), block.get("CPU part", "")) for block in blocks]
    known = dict.fromkeys(_ARM_PARTS.get(pair) or f"ARM {pair[0]}/{pair[1]}" for pair in parts if pair != ("", ""))
    return " + ".join(known) or None


def _physical_cores(blocks: List[Dict[str, str]]) -> Optional[int]:
    pairs = {(block.get("physical id"), block.get("core id")) for block in blocks}
    return len(pairs) if blocks and (None, None) not in pairs else None


def _caches(root: Root) -> Dict[str, str]:
    caches = {}
    for folder in paths(root, "sys/devices/system/cpu/cpu0/cache/index*"):
        level, kind, size = (read(root, f"{folder}/{name}") for name in ("level", "type", "size"))
        if level and kind and size:
            caches[f"L{level}{'' if kind == 'Unified' else kind[0].lower()}"] = size
    return caches
