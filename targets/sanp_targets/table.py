"""The table of targets. A new target is a new row here, and a backend that serves it."""

from __future__ import annotations

from sanp_targets.target import ONNXRUNTIME, TENSORRT, Gpu, Release, Target

_JETPACK_5 = Release(name="JetPack 5.1", tensorrt="8.5.2", cuda="11.4", python="3.8")
_JETPACK_60 = Release(name="JetPack 6.0", tensorrt="8.6.2", cuda="12.2", python="3.10")
_JETPACK_62 = Release(name="JetPack 6.1, 6.2", tensorrt="10.3.0", cuda="12.6", python="3.10")
_JETPACK_70 = Release(name="JetPack 7.0, 7.1", tensorrt="10.13.3", cuda="13.0", python="3.12")
_JETPACK_72 = Release(name="JetPack 7.2", tensorrt="10.16.2", cuda="13.2", python="3.12")
_ORIN = (_JETPACK_5, _JETPACK_60, _JETPACK_62, _JETPACK_72)

ROWS = (
    Target(
        name="x86-cpu",
        backend=ONNXRUNTIME,
        arch="x86_64",
        description="64-bit x86 processor; AVX-512 or AVX2 kernels are chosen at run time",
    ),
    Target(
        name="arm64-cpu",
        backend=ONNXRUNTIME,
        arch="aarch64",
        description="64-bit ARM processor with NEON: boards, phones, the CPU of a Jetson",
    ),
    Target(
        name="jetson-orin-nano",
        backend=TENSORRT,
        arch="aarch64",
        description="Jetson Orin Nano or Orin NX; rates of Orin Nano 8 GB at 15 W",
        gpu=Gpu(
            sm=87,
            multiprocessors=8,
            memory_gb=8,
            bandwidth_gb_s=68.0,
            fp32_tflops=1.28,
            fp16_tflops=10.2,
            releases=_ORIN,
        ),
    ),
    Target(
        name="jetson-agx-orin",
        backend=TENSORRT,
        arch="aarch64",
        description="Jetson AGX Orin; rates of the 64 GB module",
        gpu=Gpu(
            sm=87,
            multiprocessors=16,
            memory_gb=64,
            bandwidth_gb_s=204.8,
            fp32_tflops=5.3,
            fp16_tflops=42.5,
            releases=_ORIN,
        ),
    ),
    Target(
        name="jetson-xavier",
        backend=TENSORRT,
        arch="aarch64",
        description="Jetson AGX Xavier or Xavier NX; rates of AGX Xavier",
        gpu=Gpu(
            sm=72,
            multiprocessors=8,
            memory_gb=32,
            bandwidth_gb_s=136.5,
            fp32_tflops=1.41,
            fp16_tflops=11.3,
            releases=(_JETPACK_5,),
        ),
    ),
    Target(
        name="jetson-thor",
        backend=TENSORRT,
        arch="aarch64",
        description="Jetson Thor; rates of T5000",
        gpu=Gpu(
            sm=110,
            multiprocessors=20,
            memory_gb=128,
            bandwidth_gb_s=273.0,
            fp32_tflops=8.06,
            fp16_tflops=258.0,
            releases=(_JETPACK_70, _JETPACK_72),
        ),
    ),
    Target(
        name="x86-cuda",
        backend=TENSORRT,
        arch="x86_64",
        description="x86 machine with an NVIDIA GPU, compute capability 7.5 or later",
        gpu=Gpu(),
    ),
)
