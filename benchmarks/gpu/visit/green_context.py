"""A stream whose kernels run on a few multiprocessors of the GPU only: a green context of the CUDA driver."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu.visit.entry import Skipped

_kept: list[Any] = []  # a context lives as long as the process: PyTorch keeps memory that belongs to its stream


def limited_stream(count: int) -> tuple[torch.cuda.Stream, int]:
    """A stream on `count` multiprocessors, or the next larger number that the GPU can set apart; and that number.

    No setting of the device changes. Skipped where the driver or the package cuda-bindings cannot do it.
    """
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise Skipped(f"the package cuda-bindings is missing ({error}); install it") from error
    torch.cuda.init()
    torch.zeros(1, device="cuda")  # the primary context exists from here on

    def call(found: tuple[Any, ...], what: str) -> Any:
        if int(found[0]) != 0:
            raise Skipped(f"{what}: {found[0]}; green contexts need driver 550 or newer")
        return found[1]

    device = call(driver.cuDeviceGet(torch.cuda.current_device()), "cuDeviceGet")
    kind = driver.CUdevResourceType.CU_DEV_RESOURCE_TYPE_SM
    everything = call(driver.cuDeviceGetDevResource(device, kind), "cuDeviceGetDevResource")
    groups = call(driver.cuDevSmResourceSplitByCount(1, everything, 0, count), "cuDevSmResourceSplitByCount")
    described = call(driver.cuDevResourceGenerateDesc([groups[0]], 1), "cuDevResourceGenerateDesc")
    flag = driver.CUgreenCtxCreate_flags.CU_GREEN_CTX_DEFAULT_STREAM
    context = call(driver.cuGreenCtxCreate(described, device, flag), "cuGreenCtxCreate")
    non_blocking = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
    stream = call(driver.cuGreenCtxStreamCreate(context, non_blocking, 0), "cuGreenCtxStreamCreate")
    _kept.append((context, stream))
    return torch.cuda.ExternalStream(int(stream)), int(groups[0].sm.smCount)
