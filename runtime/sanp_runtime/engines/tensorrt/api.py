"""The TensorRT Python package, 8.5 to 11, behind one small class: the only file that imports tensorrt.

The named-tensor interface (set_input_shape, set_tensor_address, execute_async_v3) exists since 8.5, so there is one
way to run an engine. What differs is typing: 8.x types weakly and needs flags for FP16, 10 has strong typing as an
option, 11 has nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from sanp_targets.errors import TargetError

# min, opt and max of every input, by name
Shapes = Mapping[str, Tuple[Sequence[int], Sequence[int], Sequence[int]]]


def import_tensorrt() -> Any:
    """The package; TargetError with the command that installs it."""
    try:
        import tensorrt
    except (ImportError, OSError, AttributeError) as error:  # the package without its libraries, or with a newer numpy
        raise TargetError(
            f"tensorrt cannot be imported ({error}), and this bundle needs it; on a Jetson run `sudo apt install "
            "python3-libnvinfer` and use the system's python3, on a PC `pip install tensorrt`"
        ) from error
    return tensorrt


class Tensorrt:
    """An imported TensorRT with a logger that remembers what went wrong."""

    def __init__(self) -> None:
        self._trt = import_tensorrt()
        self.version = str(self._trt.__version__)
        self.major = int(self.version.split(".", 1)[0])
        self._log = _logger(self._trt)
        self._runtime: Any = None

    def build(
        self, model: Path, profiles: Sequence[Shapes], half: bool, single: Mapping[str, str], signed: bool = False
    ) -> bytes:
        """Build an engine from an ONNX file with these optimisation profiles; TargetError with TensorRT's own words.

        half: the file holds float16 tensors; single: nodes that must compute in float32 even so, with the types of
        their outputs ("fp32", "fp32+int32", ""), which only a weakly typed TensorRT has to be told. TF32 is off: it
        keeps 11 bits of each factor, which is not float32. signed: the file says by QuantizeLinear and DequantizeLinear
        what is computed on signed bytes, which 8.x must be allowed; strong typing reads it from the file.
        """
        trt = self._trt
        self._log.lines.clear()
        builder = trt.Builder(self._log)
        network = builder.create_network(self._network_flags())
        parser = trt.OnnxParser(network, self._log)
        if not parser.parse_from_file(str(model)):
            errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise self._failure(f"TensorRT {self.version} cannot read {model.name}", errors)
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.clear_flag(trt.BuilderFlag.TF32)
        if signed and self.major < 10:
            config.set_flag(trt.BuilderFlag.INT8)
        if half and self.major < 10:
            self._keep_single(config, network, single)
        for shapes in profiles:
            profile = builder.create_optimization_profile()
            for index in range(network.num_inputs):
                name = network.get_input(index).name
                if name not in shapes:
                    raise self._failure(f"{model.name} has the unexpected input {name}", [])
                profile.set_shape(name, *(tuple(shape) for shape in shapes[name]))
            config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise self._failure(f"TensorRT {self.version} cannot build {model.name}", [])
        return bytes(plan)

    def load(self, plan: bytes, name: str) -> Any:
        """The engine of a serialised plan; TargetError if this TensorRT does not take it."""
        self._log.lines.clear()
        if self._runtime is None:  # lives as long as its engines need it
            self._runtime = self._trt.Runtime(self._log)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._failure(f"TensorRT {self.version} cannot load {name}", [])
        return engine

    def context(self, engine: Any, profile: int, stream: int, of: int) -> Any:
        """A new execution context on one of the `of` profiles of an engine.

        Before 10 two contexts cannot have the same profile, so that a caller keeps one for each. TargetError if
        TensorRT gives none.
        """
        self._log.lines.clear()
        context = engine.create_execution_context()
        if context is None or (of > 1 and not context.set_optimization_profile_async(profile, stream)):
            raise self._failure(f"TensorRT {self.version} gives no context for optimisation profile {profile}", [])
        return context

    def tensors(self, engine: Any) -> Dict[str, bool]:
        """Inputs (True) and outputs (False) of an engine by name."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return {name: engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT for name in names}

    def layer_information(self, engine: Any) -> str:
        """The engine inspector's JSON."""
        inspector = engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def profiler(self) -> Any:
        """A profiler for `context.profiler`; its attribute `rows` collects (layer name, ms) in order."""
        return _profiler(self._trt)

    def _network_flags(self) -> int:
        kinds = self._trt.NetworkDefinitionCreationFlag
        if hasattr(kinds, "STRONGLY_TYPED") and self.major >= 10:
            return 1 << int(kinds.STRONGLY_TYPED)
        return 1 << int(kinds.EXPLICIT_BATCH)

    def _keep_single(self, config: Any, network: Any, single: Mapping[str, str]) -> None:
        """8.x: allow half, but not where the file computes in float32: gates and reductions.

        Without the type of an output a layer computes in float32 and may still hand on halves.
        """
        trt = self._trt
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        missing = dict(single)
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            types = missing.pop(layer.name, None)
            if types is not None:
                layer.precision = trt.float32
                for output, word in enumerate(types.split("+")):
                    if word == "fp32":
                        layer.set_output_type(output, trt.float32)
        if missing:
            raise self._failure(
                f"TensorRT {self.version} made no layer of {', '.join(sorted(missing)[:3])}, expected all "
                f"{len(single)} layers that must compute in float32",
                [],
            )

    def _failure(self, what: str, errors: Sequence[str]) -> TargetError:
        said = [*errors, *self._log.lines][-3:]
        return TargetError(
            f"{what}: {' | '.join(said)[:600] or 'it gave no reason'}; check that the bundle's plugin is loaded and "
            "report the message"
        )


def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):
        """Keeps errors for our messages; TensorRT's chatter is not printed."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: List[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.lines.append(message.strip())

    return Logger()


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):
        """Collects what TensorRT reports after every inference."""

        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.rows: List[Tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.rows.append((layer_name, ms))

    return Profiler()
