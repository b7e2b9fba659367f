"""Whether a network, its samples and this processor can be served in eight bits; each refusal is a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from sanp_runtime.bundle.reference import Reference
from sanp_targets.errors import ConfigError
from sanp_targets.processor import has_byte_products

# Half of them give the ranges, half judge; fewer say too little about either.
FEWEST = 32


def check_network(name: str, gated: bool, pixels: bool) -> None:
    """ConfigError for a network without channel gates, whose layers our kernels of bytes do not reach."""
    if gated:
        return
    what = "decides for every pixel, which no kernel of bytes does" if pixels else "has no channel gates"
    raise ConfigError(
        f"{name} {what}, expected gated convolutions: --int8 quantises those; leave it out, the bundle stays float32. "
        "A network without gates is quantised by ONNX Runtime's own tools"
    )


def check_answers(name: str, answers: Reference | None, one_size: bool) -> None:
    """ConfigError for samples without classes, whose accuracy decides which layers stay float32, and several sizes."""
    if not one_size:
        raise ConfigError(
            f"{name} takes images of several sizes, expected one for --int8; export it again without --dynamic-size or "
            "--sizes"
        )
    if answers is not None and not answers.has_classes:
        raise ConfigError(
            f"the samples of {name} have no class, expected logits [N, classes] and labels: --int8 keeps what costs "
            "accuracy in float32; leave it out, the bundle stays float32"
        )


def check_processor(machine: Mapping[str, object]) -> None:
    """ConfigError for a processor on which float32 is faster. machine: `sanp_targets.processor.processor()`."""
    if not has_byte_products(machine):
        raise ConfigError(
            f"{machine.get('cpu_model') or 'this processor'} has no products of bytes (AVX-512 with VNNI and VBMI2, "
            "AVX-VNNI, Arm's dot product), and without them our float32 kernels are faster than int8 ones; leave out "
            "--int8, the bundle stays float32"
        )


def split(answers: Reference | None, calibration: int | None) -> tuple[Reference, Reference]:
    """Samples that give the ranges, and those that are held back to judge.

    Every second one by default; calibration: how many, spread evenly. ConfigError for too few of either.
    """
    count = 0 if answers is None else len(answers)
    if answers is None or count < FEWEST:
        raise ConfigError(
            f"{count} samples came with the model, expected at least {FEWEST}: --int8 takes ranges from some and "
            "judges on the others; export it with --samples 512, or leave out --int8, the bundle stays float32"
        )
    wanted = count // 2 if calibration is None else calibration
    if count - wanted < FEWEST // 2:
        raise ConfigError(
            f"--samples {wanted} leaves {max(count - wanted, 0)} of {count} samples to judge on, expected at least "
            f"{FEWEST // 2}; take fewer, or export the model with more --samples"
        )
    chosen = {at * count // wanted for at in range(wanted)}
    rest = [at for at in range(count) if at not in chosen]
    return answers.take(sorted(chosen)), answers.take(rest)
