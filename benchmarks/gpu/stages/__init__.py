"""The stages of visits, most valuable first: a stage is a module with `run(place, record)` and a line here."""

from __future__ import annotations

from benchmarks.gpu.visit.entry import Entry

STAGES = (
    Entry("build", "benchmarks.gpu.stages.build", 170),
    Entry("layers", "benchmarks.gpu.stages.layers", 190, 40),
    Entry("networks", "benchmarks.gpu.stages.networks", 110, 40),
    Entry("training", "benchmarks.gpu.stages.training", 170, 80),
    Entry("onnxruntime", "benchmarks.gpu.stages.onnxruntime_cuda", 90, 30),
    Entry("profiles", "benchmarks.gpu.stages.profiles", 50, 20),
)
# A second visit confirms what was changed: --stages second. Three minutes in all.
SECOND = (
    Entry("check", "benchmarks.gpu.stages.check", 64),
    Entry("short_layers", "benchmarks.gpu.stages.short_layers", 30, 20),
    Entry("steps", "benchmarks.gpu.stages.steps", 42, 20),
    Entry("few_multiprocessors", "benchmarks.gpu.stages.few_multiprocessors", 30, 20),
    Entry("networks", "benchmarks.gpu.stages.networks", 28, 15),
)
# A third visit measures new kernels against the old ones and the dense layers: --stages third. Four minutes in all.
THIRD = (
    Entry("check", "benchmarks.gpu.stages.check", 80),
    Entry("short_layers", "benchmarks.gpu.stages.short_layers", 60, 20),
    Entry("networks", "benchmarks.gpu.stages.networks", 40, 15),
    Entry("few_multiprocessors", "benchmarks.gpu.stages.few_multiprocessors", 40, 20),
    Entry("profiles", "benchmarks.gpu.stages.profiles", 40, 15),
)
