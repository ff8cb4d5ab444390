"""What a framework's ``predictor.py`` implements.

A ``predictor.py`` defines one class named ``FrameworkPredictor`` that extends :class:`Predictor`. It is loaded by path
in a process of its own, where importing the framework is its business alone. It sees no labels, no clock and no
metrics: it loads, predicts, and binds.
"""

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

import numpy

Tensors = Dict[str, numpy.ndarray]


class Unsupported(Exception):
    """What was asked for does not exist here: the case is skipped with this message as the reason."""

    def __init__(self, message: str, holds: Optional[str] = None) -> None:
        """
        :param holds: the precision to ask for instead, as manifests name it, where the file holds another than was
            asked for; ``framework_default`` where that one has no name.
        """
        super().__init__(message)
        self.holds = holds


class NoSuchName(ValueError):
    """A model has no input or output of the name asked for; the message says which there are and what to write.

    >>> print(NoSuchName("wine.onnx", "input", "x", ["X"]))
    wine.onnx: no input 'x'; the model has X: use it, or write `input_names: {x: X}` in the framework's entry
    """

    def __init__(self, file_name: str, what: str, name: str, present: Iterable[str]) -> None:
        """:param what: ``input`` or ``output``."""
        # Sorted and as text: a framework may name tensors by numbers, or in an order of its own.
        names = sorted(map(str, present))
        use, other = ("use it", names[0]) if len(names) == 1 else ("use one of them", "NAME")
        super().__init__(
            "{}: no {} {!r}; the model has {}: {}, or write `{}_names: {{{}: {}}}` in the framework's entry".format(
                file_name, what, name, ", ".join(names) or "none", use, what, name, other
            )
        )


class TensorDescription(object):
    """Name, numpy dtype name and shape of an input or output; ``None`` stands for a dynamic dimension."""

    def __init__(self, name: str, dtype: str, shape: List[Optional[int]]) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape


class LoadRequest(object):
    """Everything a predictor may know when it loads a model."""

    def __init__(
        self,
        files: Mapping[str, str],
        device: str,
        precision: str,
        threads: Optional[int],
        batch_size: int,
        inputs: List[TensorDescription],
        outputs: List[str],
        options: Mapping[str, Any],
    ) -> None:
        self.files = files
        """Role (as in ``framework.yml``) to path on disk; verified already."""
        self.device = device
        """As ``framework.yml`` calls it under ``devices``."""
        self.precision = precision
        """One of those ``framework.yml`` lists for the hardware, such as ``fp32``; to be obeyed or refused."""
        self.threads = threads
        """Threads for computing; ``None`` only where the manifest asked for the framework's default."""
        self.batch_size = batch_size
        """The batch size to fix where ``framework.yml`` says ``dynamic_batch: false``; elsewhere 1."""
        self.inputs = inputs
        """Inputs as the framework names them, in the manifest's order, batch dimension first where there is one."""
        self.outputs = outputs
        """Output names as the framework names them, in the manifest's order."""
        self.options = options
        """The manifest's options for this framework, names checked against ``framework.yml``."""


class Bound(object):
    """Inputs bound to a model, for the timed loop.

    ``run`` takes nothing, makes one prediction on the bound inputs by the framework's fastest call path, waits until
    the device has finished, and is the only thing inside a measurement. ``outputs`` returns what the latest ``run``
    produced, so that it can be checked that it predicted at all. ``call_path`` names the framework's function used.
    """

    def __init__(self, run: Callable[[], Any], outputs: Callable[[], Tensors], call_path: str) -> None:
        self.run = run
        self.outputs = outputs
        self.call_path = call_path


class Layer(object):
    """One layer of a per-layer profile, as the framework executed it, which after fusion may stand for several."""

    def __init__(
        self,
        name: str,
        kind: str,
        seconds: Optional[float],
        shape: Optional[List[int]] = None,
        memory: Optional[int] = None,
    ) -> None:
        self.name = name
        self.kind = kind
        """The framework's own word for its type, such as ``Conv``."""
        self.seconds = seconds
        """Median over the runs, or their mean where the profiler keeps no more; ``None`` where the framework does not
        say or its clock shows nothing, never 0."""
        self.shape = shape
        """Shape of the first output; ``None`` where unknown."""
        self.memory = memory
        """Bytes of the outputs or the workspace, as the framework counts them; ``None`` where unknown."""


class LoadedModel(object):
    """A model ready to predict."""

    resolved: Dict[str, Any] = {}
    """What the request came to: at least ``precision`` (str) and ``threads`` (int or None), as read back from the
    framework where it can be read back. Recorded with every evaluation."""

    returns_new_arrays = False
    """Whether each :meth:`predict` returns memory that no later one overwrites. Where that is certain, the outputs of
    many batches are copied at once."""

    def predict(self, inputs: Tensors) -> Tensors:
        """Predict one batch. Arrays in and out are C-contiguous; the inputs must not be written to or kept."""
        raise NotImplementedError

    def bind(self, inputs: Tensors) -> Bound:
        """Bind one batch for repeated prediction. The default goes through :meth:`predict`."""
        latest: Dict[str, Tensors] = {}

        def run() -> None:
            latest["outputs"] = self.predict(inputs)

        return Bound(run, lambda: latest["outputs"], "predict")

    def layers(self, inputs: Tensors, runs: int) -> List[Layer]:
        """Profile ``runs`` predictions of one batch with the framework's own profiler; layers in order of execution.

        ``layers: true`` in ``framework.yml`` claims it. What profiling slows down is not undone, so that a model that
        was profiled is loaded anew before it is measured.

        :raises Unsupported: when the framework has none, or not for this model.
        """
        raise Unsupported("this framework has no per-layer profile")

    def unload(self) -> None:
        """Free the model's memory."""


class Predictor(object):
    """A framework. One object a host process."""

    def version(self) -> str:
        """The framework's version, as the framework itself states it."""
        raise NotImplementedError

    def build_information(self) -> Dict[str, str]:
        """Further facts of the installed build that can change a result, such as its BLAS; empty by default."""
        return {}

    def devices(self) -> Optional[List[str]]:
        """What the installed build offers here, in the words of ``devices`` in ``framework.yml``; ``None``: unknown."""
        return None

    def load(self, request: LoadRequest) -> LoadedModel:
        """Load a model.

        :raises Unsupported: when the device or precision does not exist on this machine or build.
        """
        raise NotImplementedError
