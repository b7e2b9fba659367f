"""A trtexec for tests: acts on the real command lines, version by version, with the engines of the fake package."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np

from tests.fakes import tensorrt as fake_tensorrt
from tests.fakes.cuda import FakeCudart
from tests.fakes.tensorrt import layer_information, make_module

# Options of `samples/common/sampleOptions.cpp` that a version lacks, of those that we use.
_LACKS = {
    "8.5.2": {"staticPlugins", "stronglyTyped", "profile", "useProfile"},
    "8.6.2": {"stronglyTyped", "profile", "useProfile"},
    "10.3.0": set(),
    "11.1.0": {"fp16", "int8", "precisionConstraints", "layerPrecisions", "layerOutputTypes"},
}
_FLAG_NAMES = """
onnx saveEngine loadEngine plugins staticPlugins noTF32 minShapes optShapes maxShapes shapes stronglyTyped fp16 int8
precisionConstraints layerPrecisions layerOutputTypes profilingVerbosity exportLayerInfo
exportOutput exportTimes exportProfile iterations duration warmUp avgRuns loadInputs noDataTransfers useCudaGraph
useSpinWait separateProfileRun profile useProfile
"""
_FLAGS = set(_FLAG_NAMES.split())


def install(monkeypatch, version: str, path: Path) -> FakeTrtexec:
    """Make this a board with a GPU and trtexec of a version at `path`, but no Python package."""
    _, cudart = fake_tensorrt.install(monkeypatch, version, "Orin", 87)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    fake = FakeTrtexec(version, cudart)
    for module in ("tools", "open_engine"):
        monkeypatch.setattr(f"sanp_runtime.engines.tensorrt.{module}.find_trtexec", lambda: path)
    for module in ("tools", "trtexec_engine"):
        monkeypatch.setattr(f"sanp_runtime.engines.tensorrt.{module}.trtexec_version", lambda path: version)
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.trtexec.run", fake)
    return fake


class FakeTrtexec:
    """Acts on trtexec's command lines inside the test process; engines are those of the fake package."""

    def __init__(self, version: str, cudart: FakeCudart) -> None:
        self.version, self.lines = version, []
        self.trt = make_module(version, cudart)
        self.logger = self.trt.ILogger()
        self.logger.log = lambda severity, message: None
        self.load = functools.cache(lambda plan: self.trt.Runtime(self.logger).deserialize_cuda_engine(plan))

    def __call__(self, path, arguments):
        self.lines.append(list(arguments))
        pairs = [argument[2:].partition("=") for argument in arguments]
        options = {name: value for name, _, value in pairs}
        unknown = set(options) - (_FLAGS - _LACKS[self.version])
        assert all(argument.startswith("--") for argument in arguments) and not unknown, f"unknown option {unknown}"
        if "onnx" in options:
            self.build(options, _profiles(pairs))
        if "loadEngine" in options:
            self.run(options)
        return f"&&&& RUNNING TensorRT.trtexec [TensorRT v{self.version}]"

    def build(self, options, profiles):
        trt = self.trt
        builder = trt.Builder(self.logger)
        major = int(self.version.split(".")[0])
        assert major != 10 or "stronglyTyped" in options
        network = builder.create_network(1 << (1 if major == 10 else 0))
        parser = trt.OnnxParser(network, self.logger)
        assert parser.parse_from_file(options["onnx"]), parser.errors
        plugin = "plugins" in options or "staticPlugins" in options
        assert plugin or not any(node.domain for node in network.model.graph.node), "Plugin not found"
        config = builder.create_builder_config()
        for ends in profiles:
            profile = builder.create_optimization_profile()
            for name in ends["min"]:
                profile.set_shape(name, *(ends[word][name] for word in ("min", "opt", "max")))
            config.add_optimization_profile(profile)
        config.profiling_verbosity = 2 * (options["profilingVerbosity"] == "detailed")
        config.flags = {trt.BuilderFlag.FP16} if "fp16" in options else set()
        config.flags |= {trt.BuilderFlag.INT8} if "int8" in options else set()
        if options.get("precisionConstraints") == "obey":
            config.flags.add(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
            _constrain(network.layers, options)
        plan = builder.build_serialized_network(network, config)
        assert plan is not None
        Path(options["saveEngine"]).write_bytes(plan)

    def run(self, options):
        engine = self.load(Path(options["loadEngine"]).read_bytes())
        shapes = _shapes(options["shapes"])
        files = dict(item.split(":") for item in options["loadInputs"].split(","))
        assert set(files) == set(engine.inputs), "every input must be given"
        context = engine.create_execution_context()
        assert context.set_optimization_profile_async(int(options.get("useProfile", 0)), 4096)
        assert all(context.set_input_shape(name, shapes[name]) for name in files), "shape out of range"
        feeds = {name: np.fromfile(path, np.float32).reshape(shapes[name]) for name, path in files.items()}
        values = dict(zip(engine.outputs, engine.session.run(engine.outputs, feeds)))
        if "exportOutput" in options:
            Path(options["exportOutput"]).write_text(_output_text(values))
        if "exportTimes" in options:
            Path(options["exportTimes"]).write_text(_times_text(int(options["iterations"]), values))
        if "exportProfile" in options:
            Path(options["exportProfile"]).write_text(_profile_text(engine.model.graph.node))
        if "exportLayerInfo" in options:
            version = [int(part) for part in self.version.split(".")[:2]]
            Path(options["exportLayerInfo"]).write_text(layer_information(engine, *version))


def _profiles(pairs):
    """As getOptimizationProfiles reads them: the three shapes right behind each --profile, or those of the line."""
    words = [("profile", "0"), *((name, value) for name, _, value in pairs)]
    starts = [at for at, (name, _) in enumerate(words) if name == "profile"][1:] or [0]
    if starts == [0]:  # no --profile: wherever they are
        words = words[:1] + [row for row in words if row[0] in ("minShapes", "optShapes", "maxShapes")]
    found = {}
    for start in starts:
        behind = dict(words[start + 1 : start + 4])
        assert set(behind) == {"minShapes", "optShapes", "maxShapes"}, "Found invalid or missing shape spec"
        assert int(words[start][1]) not in found, "Optimization profile index cannot be the same."
        found[int(words[start][1])] = {name[:3]: _shapes(value) for name, value in behind.items()}
    assert len(found) * 3 == sum(name.endswith("Shapes") for name, _, _ in pairs)
    return [found[index] for index in range(len(found))]


def _constrain(layers, options):
    """As setLayerPrecisions and setLayerOutputTypes do: by exact name, one type for all outputs or one for each."""
    precisions = dict(item.split(":") for item in options["layerPrecisions"].split(","))
    outputs = dict(item.split(":") for item in options["layerOutputTypes"].split(","))
    for layer in layers:
        layer.precision = {"fp32": "float32"}[precisions[layer.name]] if layer.name in precisions else None
        for index, word in enumerate(outputs[layer.name].split("+") if layer.name in outputs else ()):
            assert word in ("fp32", "int32"), "Invalid DataType"
            if word == "fp32":
                layer.set_output_type(index, "float32")


def _shapes(text):
    rows = (item.split(":") for item in text.split(","))
    return {name: tuple(int(size) for size in dims.split("x")) for name, dims in rows}


def _output_text(values):
    """As exportJSONOutput writes it: six digits, nan and inf bare, and its own idea of indentation."""
    rows = []
    for name, value in values.items():
        numbers = ", ".join(f"{number:.6g}" for number in value.ravel().tolist())
        dims = "x".join(str(size) for size in value.shape)
        rows.append(f'{{ "name" : "{name}"\n  , "dimensions" : "{dims}"\n  , "values" : [ {numbers} ]\n  }}\n')
    return "[\n  " + ", ".join(rows) + "]\n"


def _times_text(count, values):
    """As exportJSONTrace writes it; the time depends on the data."""
    base = 0.1 + 0.01 * float(np.abs(next(iter(values.values()))).mean())
    rows = []
    for index in range(count):
        ms = base * (1 + 0.001 * (index % 3))
        rows.append(
            '{ "startEnqMs" : 1, "endEnqMs" : 1.1, "startH2dMs" : 0, "endH2dMs" : 0, "startComputeMs" : 1, '
            f'"endComputeMs" : {1 + ms:.6g}, "startD2hMs" : 0, "endD2hMs" : 0, "h2dMs" : 0, "computeMs" : {ms:.6g}, '
            f'"d2hMs" : 0, "latencyMs" : {ms:.6g} }}\n'
        )
    return "[\n  " + ", ".join(rows) + "]\n"


def _profile_text(nodes):
    times = '"timeMs" : 1, "averageMs" : 0.02, "medianMs" : 0.01, "percentage" : 1'
    return '[\n  { "count" : 100 }\n' + "".join(f', {{ "name" : "{n.name}", {times} }}\n' for n in nodes) + "]\n"
