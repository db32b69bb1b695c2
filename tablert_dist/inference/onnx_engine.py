"""onnxruntime as an engine, and a bundle as a predictor. No torch."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tablert_dist.batching import CELLS
from tablert_dist.errors import InputError, OutOfMemory, first_line, is_out_of_memory
from tablert_dist.heads.base import LENGTHS, RELATION_ANSWERS, RELATION_TAGS, Arrays, Axes, Scheme
from tablert_dist.inference.gpu_memory import gpu_cells
from tablert_dist.tags import TagSet

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
LARGE = 2 * CELLS
"""Table cells of a batch on a CPU above which it gives back its memory."""
OPTIONS: dict[str, dict[str, str]] = {
    # Every new sentence length is a new shape: searching for the best convolution each time costs more than it gains.
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC", "cudnn_conv_use_max_workspace": "1"},
}
"""Options of each provider."""
INT64, INT32, FLOAT = "tensor(int64)", "tensor(int32)", "tensor(float)"


class OnnxEngine:
    """Runs the graphs of a bundle. Raises InputError where onnxruntime or the demanded provider is missing."""

    def __init__(
        self,
        graphs: Mapping[str, Path],
        provider: str = "cpu",
        threads: int = 0,
        spinning: bool = False,
        tf32: bool = True,
    ) -> None:
        ort = self._ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Fatal ones only: what it logs as an error it also raises, and we say that in a sentence.
        options.log_severity_level = 4
        # By default waiting threads do not spin: they would take the cores from whatever else runs beside.
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        self._graphs = dict(graphs)
        self._sessions = {stage: _session(ort, path, options, provider, tf32) for stage, path in graphs.items()}
        self._outputs = {
            stage: [output.name for output in session.get_outputs()] for stage, session in self._sessions.items()
        }
        self.provider = next(iter(self._sessions.values())).get_providers()[0]
        self.binds = self.provider != PROVIDERS["cpu"]

    @property
    def max_cells(self) -> int:
        """As `DeviceEngine.max_cells`."""
        return gpu_cells() if self.binds else CELLS

    @property
    def at_once(self) -> int:
        """As `DeviceEngine.at_once`: on a CPU one batch has all cores."""
        return 2 if self.binds else 1

    def check(self, scheme: Scheme, tags: TagSet) -> None:
        """Raise InputError where a graph's inputs and outputs are not those of the scheme's stage for these types."""
        fixed = {**LENGTHS, **scheme.sizes(tags)}
        for name, stage in scheme.stages.items():
            session, path = self._sessions[name], self._graphs[name]
            ints = {key: INT64 for key in stage.inputs if key not in stage.floats}
            _compare(path, "input", session.get_inputs(), stage.inputs, ints, fixed)
            # Graphs of earlier versions have no answers.
            outputs = {**stage.outputs, **(stage.answers if self.offers(name) else {})}
            _compare(path, "output", session.get_outputs(), outputs, {RELATION_TAGS: INT32}, fixed)

    def offers(self, stage: str) -> frozenset[str]:
        """As `Engine.offers`: what the graph has."""
        return frozenset(RELATION_ANSWERS.keys() & self._outputs[stage])

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """As `Engine.run`. Raises InputError where the graph fails: it is not one that was exported and verified."""
        if outputs is None:
            outputs = [name for name in self._outputs[stage] if name not in RELATION_ANSWERS]
        try:
            return self._run(stage, arrays, list(outputs))
        except Exception as error:  # onnxruntime has no class of its own for it
            if not is_out_of_memory(error):
                raise InputError(f"{self._graphs[stage]}: onnxruntime cannot run the graph: {_reason(error)}") from None
        raise OutOfMemory(f"{self.provider}: out of memory")

    def _options_of(self, arrays: Arrays) -> Any:
        """A large batch gives its memory back after the run: one window of 510 words would keep 900 MB for good."""
        cells = max((array.shape[0] * array.shape[1] ** 2 for array in arrays.values() if array.ndim > 1), default=0)
        if cells <= LARGE:
            return None
        options = self._ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options

    def _run(self, stage: str, arrays: Arrays, names: list[str]) -> dict[str, NDArray[Any]]:
        session = self._sessions[stage]
        if not self.binds:
            return dict(zip(names, session.run(names, dict(arrays), self._options_of(arrays)), strict=True))
        # Bound, inputs are on the device before the run, and outputs stay there until all are there and come back in one go.
        device = "cpu" if self.provider == PROVIDERS["cpu"] else "cuda"
        binding = session.io_binding()
        for name, array in arrays.items():
            binding.bind_ortvalue_input(name, self._ort.OrtValue.ortvalue_from_numpy(array, device, 0))
        for name in names:
            binding.bind_output(name, device)
        session.run_with_iobinding(binding)
        return dict(zip(names, binding.copy_outputs_to_cpu(), strict=True))


def import_onnxruntime() -> Any:
    """The module, or an InputError that names the two extras."""
    try:
        import onnxruntime
    except ImportError:
        onnxruntime = None
    # The two wheels install into one folder, and uninstalling one leaves an empty namespace (onnxruntime#10685).
    if onnxruntime is None or not hasattr(onnxruntime, "InferenceSession"):
        raise InputError(
            "onnxruntime is not installed: pip install 'tablert-dist[cpu]', or '[gpu]' on a machine with one"
        )
    return onnxruntime


def _session(ort: Any, path: Path, options: Any, provider: str, tf32: bool) -> Any:
    choice = "cuda" if provider == "auto" else provider
    wanted = PROVIDERS[choice]
    if choice != "cpu" and wanted in ort.get_available_providers():
        _preload(ort)
        # A listed provider may still be unusable: the session then falls back to the CPU without an error, whatever
        # disable_fallback() was told (onnxruntime 1.31, onnxruntime#23372, #23647).
        session = _opened(ort, path, options, (wanted, {**OPTIONS[choice], "use_tf32": str(int(tf32))}))
        if session.get_providers()[0] == wanted:
            return session
    if provider not in {"auto", "cpu"}:
        raise InputError(
            f"predict.provider = {provider}: onnxruntime gives no session with {PROVIDERS[provider]} here (is the [gpu] "
            f"extra installed, and are a driver and a GPU there?); use cpu or auto"
        )
    return _opened(ort, path, options, PROVIDERS["cpu"])


@cache
def _preload(ort: Any) -> None:
    """Load pip's CUDA libraries, which onnxruntime does not find by itself in a process without torch (1.31; its docs,
    "Preload DLLs"). What it prints of missing ones is left out: whether the provider works is looked at."""
    with redirect_stdout(io.StringIO()):
        ort.preload_dlls()


def _opened(ort: Any, path: Path, options: Any, provider: Any) -> Any:
    try:
        # Its own second try on the CPU is said on standard output; where the first was on the CPU there is nothing to try.
        again = int(provider != PROVIDERS["cpu"])
        return ort.InferenceSession(str(path), options, providers=[provider], enable_fallback=again)
    except Exception as error:  # onnxruntime's classes have no common one
        if is_out_of_memory(error):
            raise OutOfMemory(f"{path}: there is not enough memory to load the graph") from None
        raise InputError(f"{path}: onnxruntime cannot read the graph: {_reason(error)}") from None


def _compare(
    path: Path, kind: str, tensors: Any, axes: Mapping[str, Axes], types: Mapping[str, str], fixed: Mapping[str, int]
) -> None:
    """Raise InputError where the tensors are not these, of these types and lengths."""
    found = {tensor.name: tensor for tensor in tensors}
    if set(found) != set(axes):
        raise InputError(f"{path}: its {kind}s are {', '.join(found) or 'none'}; they must be {', '.join(axes)}")
    for name, names in axes.items():
        tensor, wanted = found[name], types.get(name, FLOAT)
        if tensor.type != wanted or len(tensor.shape) != len(names):
            raise InputError(
                f"{path}: its {kind} {name} is a {tensor.type} of {len(tensor.shape)} axes, not a {wanted} of {len(names)}"
            )
        for axis, length in zip(names, tensor.shape, strict=True):
            if axis in fixed and isinstance(length, int) and length != fixed[axis]:
                raise InputError(
                    f"{path}: its {kind} {name} has {length} of what this model's types make {fixed[axis]}"
                )
            if axis.islower() and isinstance(length, int):
                raise InputError(f"{path}: its {kind} {name} takes only {length} {axis}")


def _reason(error: Exception) -> str:
    """In one line, without the source files that onnxruntime names."""
    return re.sub(r"/\S+/(\w+\.(?:cc|h|cpp)):\d+ ?", r"\1 ", first_line(error))[:300]
