"""The stages of a first visit, most valuable first: a stage is a module with `run(place, record)` and a line here."""

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
