"""A stand-in for the `tensorrt` package that computes real numbers through ONNX Runtime.

It exists only inside the fixture that installs it. It refuses what the real ones refuse (read in their sources): wrong
flags for its version, functions in the model, newer operator forms, missing plugin attributes, shapes outside the
profile, FP16 without permission, addresses outside its memory, engines of another version. An engine is the ONNX file
behind a header; memory is that of cuda.py.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import types
import weakref

import numpy as np
import onnx
import onnxruntime as ort

from tests.fakes.cuda import FakeCudart
from tests.fakes.weak_typing import FakeLayer, as_parsed, float_types, in_half
from tests.support.tensorrt_oracle import executable

_MAGIC = b"FAKE-ENGINE\n"
_PLUGINS = ("SanpGatedConv", "SanpChannelGate")


def install(monkeypatch, version, gpu="NVIDIA Fake", sm=87):
    """Put a fake tensorrt of this version and a fake GPU in place; returns (module, cudart)."""
    cudart = FakeCudart(gpu, sm)
    module = make_module(version, cudart)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.cuda._open", lambda: cudart)
    monkeypatch.setattr("sanp_runtime.engines.tensorrt.plugin._LOADED", {})
    for name in ("WARM_UP_MS", "WARM_UP_CAP_MS", "_WINDOW_MS"):
        monkeypatch.setattr(f"sanp_runtime.measure.timing.{name}", 1.0)  # no test here is about a latency
    return module, cudart


def _check_pairs(graph):
    """Signed bytes with the zero point 0, one step for a feature map and one for each filter of weights, and back."""
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    readers = {name: node for node in graph.node for name in node.input}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any(), "zero points other than 0 are not supported"
        back = readers[node.output[0]]
        assert back.op_type == "DequantizeLinear" and list(back.input[1:]) == list(node.input[1:])
        weights = node.input[0] in constants
        assert constants[node.input[1]].ndim == int(weights), "a step for each filter of weights, one for a feature map"


def make_module(version: str, cudart: FakeCudart) -> types.ModuleType:
    major, minor = (int(part) for part in version.split(".")[:2])
    trt = types.ModuleType("tensorrt")
    trt.__version__ = version
    trt.float32, trt.float16 = "float32", "float16"
    trt.sabotage = set()  # nodes that the builder turns into something that is not our plugin

    class ILogger:
        class Severity:
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def __init__(self):
            self.ready = True

    class IProfiler:
        def __init__(self):
            self.ready = True

    flags = {"TF32": 7, "FP16": 0, "INT8": 1, "OBEY_PRECISION_CONSTRAINTS": 8} if major < 11 else {"TF32": 6}
    kinds = {"EXPLICIT_BATCH": 0} if major < 10 else {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
    kinds = {"STRONGLY_TYPED": 0} if major >= 11 else kinds
    trt.ILogger, trt.IProfiler = ILogger, IProfiler
    trt.BuilderFlag = types.SimpleNamespace(**flags)
    trt.NetworkDefinitionCreationFlag = types.SimpleNamespace(**kinds)
    trt.ProfilingVerbosity = types.SimpleNamespace(LAYER_NAMES_ONLY=0, NONE=1, DETAILED=2)
    trt.LayerInformationFormat = types.SimpleNamespace(ONELINE=0, JSON=1)
    trt.TensorIOMode = types.SimpleNamespace(NONE=0, INPUT=1, OUTPUT=2)

    class Builder:
        def __init__(self, logger):
            assert logger.ready
            self.logger = logger

        def create_network(self, flags):
            wanted = kinds["STRONGLY_TYPED"] if major >= 10 else kinds["EXPLICIT_BATCH"]
            assert flags == 1 << wanted, f"network flags {flags} on {version}"
            return Network()

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            half = any(t.data_type == onnx.TensorProto.FLOAT16 for t in network.model.graph.initializer)
            if half and major < 10 and flags["FP16"] not in config.flags:
                self.logger.log(ILogger.Severity.ERROR, "FP16 precision has not been enabled")
                return None
            pairs = any(node.op_type == "QuantizeLinear" for node in network.model.graph.node)
            if pairs and major < 10 and flags["INT8"] not in config.flags:
                self.logger.log(ILogger.Severity.ERROR, "INT8 precision has not been enabled")
                return None
            assert major != 10 or flags["INT8"] not in config.flags, "strong typing takes no flag for a type"
            _check_pairs(network.model.graph)
            names = {value.name for value in network.model.graph.input}
            if not config.profiles or any(set(profile.shapes) != names for profile in config.profiles):
                self.logger.log(ILogger.Severity.ERROR, "network has dynamic inputs, but no shapes for all of them")
                return None
            assert flags["TF32"] not in config.flags, "TF32 must be off"
            header = {
                "version": version,
                "profiles": [profile.shapes for profile in config.profiles],
                "detailed": config.profiling_verbosity == 2,
                "single": sorted(layer.name for layer in network.layers if layer.precision == "float32"),
                "sabotage": sorted(trt.sabotage),
            }
            if half and major < 10:
                assert flags["OBEY_PRECISION_CONSTRAINTS"] in config.flags, "constraints without a word are ignored"
                header["constraints"] = [layer.constraints() for layer in network.layers]
            return _MAGIC + json.dumps(header).encode() + b"\n" + network.model.SerializeToString()

    class Network:
        def __init__(self):
            self.model, self.layers = None, []

        num_inputs = property(lambda self: len(self.model.graph.input))
        num_layers = property(lambda self: len(self.layers))

        def get_input(self, index):
            return types.SimpleNamespace(name=self.model.graph.input[index].name)

        def get_layer(self, index):
            return self.layers[index]

    class OnnxParser:
        rename = None  # a node whose layer gets another name

        def __init__(self, network, logger):
            self.network, self.logger, self.errors = network, logger, []

        num_errors = property(lambda self: len(self.errors))

        def get_error(self, index):
            return types.SimpleNamespace(desc=lambda: self.errors[index])

        def parse_from_file(self, path):
            model = onnx.load(path)
            self.errors += [problem for problem in _problems(model) if problem]
            self.network.model = as_parsed(model)
            known = float_types(self.network.model)
            self.network.layers = [FakeLayer(node, known) for node in self.network.model.graph.node]
            for layer in self.network.layers:
                layer.name = f"{layer.name}_1" if layer.name == self.rename else layer.name
            return not self.errors

    class Config:
        def __init__(self):
            self.flags, self.profiles, self.profiling_verbosity = {flags["TF32"]}, [], 0

        def set_flag(self, flag):
            self.flags.add(flag)

        def clear_flag(self, flag):
            self.flags.discard(flag)

        def add_optimization_profile(self, profile):
            self.profiles.append(profile)
            return len(self.profiles) - 1

    class Profile:
        def __init__(self):
            self.shapes = {}

        def set_shape(self, name, least, typical, most):
            assert all(isinstance(shape, tuple) for shape in (least, typical, most))
            self.shapes[name] = [list(least), list(typical), list(most)]

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, plan):
            head, _, body = plan[len(_MAGIC) :].partition(b"\n")
            if not plan.startswith(_MAGIC) or json.loads(head)["version"] != version:
                self.logger.log(ILogger.Severity.ERROR, "The engine plan file is not compatible with this version")
                return None
            return Engine(json.loads(head), onnx.load_model_from_string(body))

    class Engine:
        def __init__(self, header, model):
            self.header, self.model = header, model
            options, computed = ort.SessionOptions(), model
            if "constraints" in header:
                computed = in_half(model, header["constraints"])
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # keeps the roundings
            self.session = ort.InferenceSession(executable(computed).SerializeToString(), options)
            self.inputs = [item.name for item in self.session.get_inputs()]
            self.outputs = [item.name for item in self.session.get_outputs()]
            self.num_io_tensors = len(self.inputs) + len(self.outputs)
            self.contexts = weakref.WeakSet()

        def get_tensor_name(self, index):
            return [*self.inputs, *self.outputs][index]

        def get_tensor_mode(self, name):
            return 1 if name in self.inputs else 2

        def create_execution_context(self):
            context = Context(self)
            self.contexts.add(context)
            return context

        def create_engine_inspector(self):
            return types.SimpleNamespace(get_engine_information=lambda form: layer_information(self, major, minor))

    class Context:
        def __init__(self, engine):
            self.engine, self.shapes, self.addresses = engine, {}, {}
            self._profiler = None
            self.profile = 0 if self.is_free(0) else None

        def is_free(self, profile):
            """Until 10, and in 8.6 without a preview feature, two contexts cannot have one profile."""
            return major >= 10 or all(other.profile != profile for other in self.engine.contexts)

        def set_optimization_profile_async(self, profile_index, stream_handle):
            assert stream_handle == 4096
            if not 0 <= profile_index < len(self.engine.header["profiles"]):
                return False
            if self.profile != profile_index:
                if not self.is_free(profile_index):
                    return False
                self.profile, self.shapes = profile_index, {}
            return True

        profiler = property(lambda self: self._profiler)

        @profiler.setter
        def profiler(self, value):
            assert value.ready, "IProfiler.__init__ was not called"
            self._profiler = value

        def set_input_shape(self, name, shape):
            assert self.profile is not None, "No optimization profile has been set so far"
            least, _, most = self.engine.header["profiles"][self.profile][name]
            good = len(shape) == len(least) and all(a <= s <= b for a, s, b in zip(least, shape, most))
            self.shapes[name] = tuple(shape)
            return good

        def set_tensor_address(self, name, address):
            assert isinstance(address, int)
            self.addresses[name] = address
            return True

        def execute_async_v3(self, stream_handle):
            assert stream_handle == 4096
            assert all(self.set_input_shape(name, shape) for name, shape in self.shapes.items()), "shape out of range"
            feeds = {}
            for name in self.engine.inputs:
                size = 4 * int(np.prod(self.shapes[name]))
                cudart.check(self.addresses[name], size)
                feeds[name] = np.frombuffer(ctypes.string_at(self.addresses[name], size), np.float32)
                feeds[name] = feeds[name].reshape(self.shapes[name])
            for name, value in zip(self.engine.outputs, self.engine.session.run(self.engine.outputs, feeds)):
                assert value.dtype == np.float32
                cudart.check(self.addresses[name], value.nbytes)
                ctypes.memmove(self.addresses[name], np.ascontiguousarray(value).ctypes.data, value.nbytes)
            if self._profiler is not None:
                for index, node in enumerate(self.engine.model.graph.node):
                    self._profiler.report_layer_time(
                        f"PWN({node.name})" if index % 2 else node.name, 0.01 * (index + 1)
                    )
            return True

    for cls in (Builder, OnnxParser, Runtime):
        setattr(trt, cls.__name__, cls)
    return trt


def _problems(model):
    """What one of the parsers from 8.5 to 11 would refuse, or misread without a word."""
    yield "functions must be stripped" if model.functions else None
    yield "opset of the first import" if model.opset_import[0].version > 17 or model.opset_import[0].domain else None
    frozen = {t.name for t in model.graph.initializer} & {value.name for value in model.graph.input}
    yield f"{frozen} would freeze to constants" if frozen else None
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        # Resize reads its region for one mode of coordinates alone, and detectors without one are parsed.
        needed = node.input if node.op_type != "Resize" else [node.input[0], *node.input[2:]]
        if "" in needed:
            yield f"{node.name}: input != nullptr"
        if node.domain:
            named = attributes.get("plugin_version") == b"1" and attributes.get("plugin_namespace") == b""
            yield None if node.op_type in _PLUGINS and named else f"{node.op_type}: Plugin not found"
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) > 1:
            yield f"{node.name}: 8.5 would reduce all axes"
        if node.op_type == "Shape" and attributes:
            yield f"{node.name}: 8.5 would return the whole shape"


def layer_information(engine, major, minor):
    """The inspector's JSON in the dialect of a version."""
    if not engine.header["detailed"]:
        return json.dumps({"Layers": [node.name for node in engine.model.graph.node], "Bindings": engine.inputs})
    rows = []
    for node in engine.model.graph.node:
        plugin = bool(node.domain) and node.name not in engine.header["sabotage"]
        row = {"Name": node.name, "LayerType": "PluginV2" if major < 10 else "PluginV3"} if plugin else None
        row = row or {"Name": node.name, "LayerType": "kgen" if node.domain else node.op_type}
        tensors = [{"Name": name, "Dimensions": [1]} for name in node.input]
        for tensor in tensors:
            tensor.update(
                {"Format/Datatype": "Row major linear FP32"} if major < 11 else {"Format": "N", "Datatype": "F"}
            )
        row.update(Inputs=tensors, Outputs=[], TacticValue="0x0")
        if plugin:
            row["PluginType"] = node.op_type
        if (major, minor) >= (8, 6):
            row["Metadata"] = f"[ONNX Layer: {node.name}]"
            row["Name"] = node.name if plugin else f"__myl_{re.sub('[^A-Za-z]', '', node.op_type)}_myl0_{len(rows)}"
        rows.append(row)
    return json.dumps({"Layers": rows, "Bindings" if major < 11 else "I/O Tensors": [*engine.inputs, *engine.outputs]})
