"""The model manifest, schema 1: what each key is and which values it takes on its own.

What depends on several keys at once, or on what plugins registered, is checked in the ``check_*`` modules beside it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_mlscope.components import Holds, Precision
from pytest_mlscope.manifest.quantities import CpuList, Day, Duration, MemorySize, Percentage, PositivePercentage
from pytest_mlscope.manifest.versions import MOST_VERSION_CHARACTERS
from pytest_mlscope.option_values import MOST_RESTARTS

StatedPrecision = Literal["fp32", "fp16", "bf16", "int8"]
DType = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]


VersionText = Annotated[str, Field(max_length=MOST_VERSION_CHARACTERS)]
"""A version or a constraint, as text."""


class Section(BaseModel):
    """A mapping in a manifest: unknown keys and values of another type are mistakes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class OpenSection(Section):
    """A mapping whose further keys are the parameters of a named component."""

    model_config = ConfigDict(extra="allow")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the component."""
        return dict(self.__pydantic_extra__ or {})


class Reference(Section):
    """Where a model or a published figure comes from."""

    title: str = Field(min_length=1)
    """Title of a paper, page or table."""
    url: str | None = None
    """Where to read it."""


class BuildStep(Section):
    """How a file is made from the one at ``path``, on first use, into the artifact cache."""

    builder: Literal["random_onnx_weights", "caffe_prototxt", "caffe_weights"]
    """``random_onnx_weights``: replace constant weights of an ONNX graph by seeded random ones; ``caffe_prototxt`` and
    ``caffe_weights``: write the layers and the weights of the same graph as Caffe reads them."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the random numbers."""


class ModelFile(Section):
    """One file of a model."""

    path: str = Field(min_length=1, max_length=4096)
    """Relative path, ``package://DISTRIBUTION/path``, ``file://``, ``https://`` or any fsspec URL."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """sha256 of the file, in lower-case hexadecimal, verified before use; required for remote files."""
    size: int | None = Field(default=None, ge=0, le=2**43)
    """Bytes."""
    build: BuildStep | None = None
    """How the file that is used is made from the one at ``path``; used as it is when absent."""


class ExpectedFailure(Section):
    """Cases that are known to fail, with the reason; a case that passes all the same is a failure when ``strict``."""

    reason: str = Field(min_length=1)
    """Why they fail; shown in the report."""
    kinds: list[str] | None = Field(default=None, min_length=1)
    """The kinds of test that fail; all when absent."""
    version: VersionText | None = None
    """Framework versions it holds for (PEP 440 specifiers, or a release such as ``"1.20"``); all when absent."""
    strict: bool = True
    """Whether an unexpected pass is a failure."""


class FrameworkEntry(Section):
    """The model in one framework's format."""

    version: VersionText | Annotated[list[VersionText], Field(min_length=1, max_length=64)] | None = None
    """Framework versions to evaluate on: PEP 440 specifiers, such as ``>=1.17,<2``, or a release such as ``"1.20"``,
    for every version that begins so; a list makes cases for each."""
    files: dict[str, ModelFile] = Field(min_length=1, max_length=64)
    """The model's files, by the roles the framework's ``framework.yml`` names, such as ``model``."""
    precision_files: dict[StatedPrecision, Annotated[dict[str, ModelFile], Field(min_length=1, max_length=64)]] = Field(
        default_factory=dict
    )
    """Precision to the files, by role, that its cases use instead; a role not named keeps the one of ``files``."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Options of the predictor, by the names its ``framework.yml`` lists."""
    input_names: dict[str, str] = Field(default_factory=dict)
    """The manifest's input name to this file's, where they differ."""
    output_names: dict[str, str] = Field(default_factory=dict)
    """The manifest's output name to this file's, where they differ."""
    input_layouts: dict[str, str] = Field(default_factory=dict)
    """Input name to the layout this file wants (such as ``NHWC``), where it differs from the input's ``layout``."""
    output_layouts: dict[str, str] = Field(default_factory=dict)
    """Output name to the layout this file gives (such as ``NHWC``), where it differs from the output's ``layout``."""
    xfail: ExpectedFailure | None = None
    """Says that this framework's cases are known to fail."""

    @property
    def versions(self) -> tuple[str | None, ...]:
        """Each version to evaluate on, as written; ``None`` for whichever ``framework.yml`` takes."""
        return tuple(self.version) if isinstance(self.version, list) else (self.version,)

    def files_at(self, precision: str) -> dict[str, ModelFile]:
        """The model's files, by role, for cases of a precision."""
        own = [files for name, files in self.precision_files.items() if name == precision]
        return {**self.files, **(own[0] if own else {})}


class StepEntry(OpenSection):
    """One pre- or post-processing step: its name and, as further keys, its parameters."""

    step: str = Field(min_length=1)
    """Name of the step."""


BatchPlace = Annotated[int, Field(ge=0, lt=16)] | Literal["none"]
"""The dimension that is the batch, counted from 0."""


class Tensor(Section):
    """What inputs and outputs have in common."""

    @property
    def batch_dimension(self) -> int | None:
        """Where the batch is; ``None`` where there is none."""
        place: BatchPlace = getattr(self, "batch", 0)
        return None if place == "none" else place

    @property
    def says_where_the_batch_is(self) -> bool:
        """Whether the manifest itself does, rather than the default."""
        return "batch" in self.model_fields_set

    def row_sizes(self) -> list[int | str]:
        """The shape of one row: that of the tensor without its batch. Empty where none is stated."""
        shape: list[int | str] = list(getattr(self, "shape", None) or [])
        place = self.batch_dimension
        return shape if place is None else shape[:place] + shape[place + 1 :]

    @property
    def batch_extent(self) -> int | str | None:
        """The batch's size or name in the shape; ``None`` where there is none."""
        shape: list[int | str] = getattr(self, "shape", None) or []
        place = self.batch_dimension
        return shape[place] if place is not None and place < len(shape) else None


class Input(Tensor):
    """One input of the model."""

    name: str = Field(min_length=1)
    """Name of the input, as the model's files name it unless ``input_names`` says otherwise."""
    dtype: DType = "float32"
    """Element type of the tensor the model takes."""
    layout: str | None = Field(default=None, pattern=r"^[A-Z]{1,8}$")
    """One letter a dimension, such as ``NCHW``; ``N`` is the batch."""
    shape: list[int | str] = Field(max_length=16)
    """Sizes; a name such as ``batch`` stands for a dynamic dimension. The batch is among them, where there is one."""
    batch: BatchPlace = 0
    """Which dimension of the shape is the batch, from 0; ``none`` for an input that a call has one of, such as a
    threshold: all rows of a batch must have it alike."""
    preprocess: list[StepEntry] = Field(default_factory=list, max_length=64)
    """Steps from a row of the dataset to the tensor, in order."""


class Output(Tensor):
    """One output of the model."""

    name: str = Field(min_length=1)
    """Name of the output, as the model's files name it unless ``output_names`` says otherwise."""
    layout: str | None = Field(default=None, pattern=r"^[A-Z]{1,8}$")
    """One letter a dimension, such as ``NCHW``; ``N`` is the batch. What steps, metrics and parity read has it."""
    shape: list[int | str] | None = Field(default=None, max_length=16)
    """Sizes, with names for dynamic dimensions, as for inputs."""
    batch: BatchPlace = 0
    """Which dimension is the batch, from 0; ``none`` for an output that a call has one of, such as a scalar or a list
    as long as what was found: each row has a call of its own then, and the batch size is 1."""
    postprocess: list[StepEntry] = Field(default_factory=list, max_length=64)
    """Steps from the raw output to what metrics read, in order."""
    holds: Holds | None = None
    """What a row of several integers is: ``scores``, one a class, or a ``ranking``: class numbers, best first."""
    labels: list[str] | str | None = None
    """Class names in index order, or the relative path of a text file with one a line."""


class RowSample(Section):
    """A random subset of rows, drawn without replacement from ``rows``."""

    size: int = Field(gt=0, le=2**40)
    """How many rows to draw."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the draw."""


class DatasetEntry(OpenSection):
    """The rows a model is evaluated on; further keys are the source's parameters."""

    source: str = Field(min_length=1)
    """Name of the kind of dataset."""
    rows: str | None = Field(default=None, pattern=r"^[0-9]{0,18}:[0-9]{0,18}$")
    """A slice ``first:past_last`` of the rows, as in Python, without negative numbers."""
    sample: RowSample | None = None
    """A random subset of the rows; all of them when absent."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Input name to column; an input that is not named reads the column of its own name."""
    label: str | None = None
    """The column with the expected result: class numbers, class names, or target values."""


class MetricEntry(OpenSection):
    """One metric; further keys are its parameters."""

    metric: str = Field(min_length=1)
    """Name of the metric."""
    output: str | None = None
    """The output it reads; needed where a model has several."""
    label: str | None = None
    """The dataset's column it compares with; the dataset's own ``label`` when absent."""


class Bound(Section):
    """An inclusive lower and upper bound."""

    min: float | None = None
    """Lower bound."""
    max: float | None = None
    """Upper bound."""


class OutputTolerance(Section):
    """How close one output must be: ``|a-b| <= abs + rel*|b|``. It holds for integers too."""

    abs: float | None = Field(default=None, ge=0)
    """Absolute tolerance; 0 when absent."""
    rel: float | None = Field(default=None, ge=0)
    """Relative tolerance; 0 when absent."""


class ParityExpectation(Section):
    """How close the raw outputs must be to the reference framework's: ``|a-b| <= abs + rel*|b|`` everywhere; integers,
    booleans and text must be equal."""

    reference: str
    """The reference framework; the others are compared with its case with the same inputs on ``cpu``. Of several
    versions the first is the reference."""
    precision: Precision = "fp32"
    """Precision of the reference: for files that hold another than ``fp32``; ``framework_default`` for what has no name
    here, such as fp64."""
    abs: float | None = Field(default=None, ge=0)
    """Absolute tolerance; measured, for each output, when absent."""
    rel: float | None = Field(default=None, ge=0)
    """Relative tolerance; measured, for each output, when absent."""
    outputs: dict[str, OutputTolerance] = Field(default_factory=dict)
    """Output name to its own tolerance."""
    top1_agreement: float | None = Field(default=None, ge=0, le=1)
    """Lowest share of rows whose largest element lies in the same place, in the first output. Without ``abs``, ``rel``
    and ``outputs`` it stands in place of a tolerance of that output's elements."""
    cosine: float | None = Field(default=None, ge=-1, le=1)
    """Lowest cosine similarity of each output of floating-point numbers or quantised scores. Without ``abs``, ``rel``
    and ``outputs`` it stands in place of a tolerance of these outputs' elements."""
    equal_nan: bool = False
    """Whether NaN in both is agreement; a failure when not."""
    rows: int = Field(default=256, gt=0, le=2**20)
    """How many of the dataset's rows are compared."""

    @property
    def bounds_agreement(self) -> bool:
        """Whether it states an agreement."""
        return self.top1_agreement is not None or self.cosine is not None

    @property
    def bounds_elements(self) -> bool:
        """Whether it states a tolerance."""
        return self.abs is not None or self.rel is not None or bool(self.outputs)


class ParityTolerance(Section):
    """How close the raw outputs of some cases must be instead."""

    max: float | None = Field(default=None, ge=0)
    """Absolute tolerance. Where an agreement is given without it, elements have no tolerance."""
    top1_agreement: float | None = Field(default=None, ge=0, le=1)
    """Lowest share of rows whose largest element lies in the same place, in the first output."""
    cosine: float | None = Field(default=None, ge=-1, le=1)
    """Lowest cosine similarity of each output."""


class LatencyExpectation(Section):
    """Upper bounds of the latency of a batch or, in the scenarios that have them, of a query: ``p50: 5 ms``."""

    p50: Duration | None = None
    """Median, as in ``5 ms``."""
    p90: Duration | None = None
    """90th percentile, as in ``5 ms``."""
    p95: Duration | None = None
    """95th percentile, as in ``5 ms``."""
    p99: Duration | None = None
    """99th percentile, as in ``5 ms``."""
    p99_9: Duration | None = Field(default=None, alias="p99.9")
    """99.9th percentile, as in ``5 ms``; the window lasts for it as long as the budget allows."""


class CaseSelector(Section):
    """Which cases something applies to: those that agree with every key given."""

    framework: str | None = None
    """Framework."""
    version: VersionText | None = None
    """Version of the framework, as its ``version`` states it."""
    hardware: str | None = None
    """Hardware target."""
    precision: Precision | None = None
    """Precision."""
    threads: int | Literal["framework_default"] | None = None
    """Threads."""
    batch_size: int | None = None
    """Batch size."""
    scenario: str | None = None
    """Scenario."""
    preprocessing: str | None = None
    """Pre-processing variant; ``stated`` for the inputs' own steps."""


class Expectation(Section):
    """What must hold; what is not named is measured and reported alone, save ``errors``."""

    errors: int = Field(default=0, ge=0, le=2**40)
    """How many rows may lack a prediction, because they could not be pre-processed or predicted; none by default."""

    accuracy: dict[str, Bound] = Field(default_factory=dict)
    """Metric name to bounds."""
    parity: ParityExpectation | None = None
    """How close outputs must be to another framework's."""
    latency: LatencyExpectation | None = None
    """Upper bounds of a batch's latency."""
    throughput: Bound | None = None
    """Samples per second."""
    peak_memory: MemorySize | None = None
    """Upper bound of the predictor host's peak resident memory."""
    load_time: Duration | None = None
    """Upper bound of the time to load the model."""


class ExpectationOverride(Section):
    """Bounds of their own for some cases; the last override that matches wins, key by key."""

    when: CaseSelector
    """The cases it applies to."""
    accuracy: dict[str, Bound] = Field(default_factory=dict)
    """Metric name to bounds."""
    latency: LatencyExpectation | None = None
    """Upper bounds of a batch's latency."""
    throughput: Bound | None = None
    """Samples per second."""
    peak_memory: MemorySize | None = None
    """Upper bound of the predictor host's peak resident memory."""
    load_time: Duration | None = None
    """Upper bound of the time to load the model."""
    parity: ParityTolerance | None = None
    """Tolerance of their own for raw outputs."""


class MatrixEntry(Section):
    """One further combination for ``include``: missing keys take the first value of their dimension."""

    framework: str
    """Framework; one of the manifest's."""
    version: VersionText | None = None
    """Version of the framework, as its ``version`` states it."""
    hardware: str | None = None
    """Hardware target."""
    precision: Precision | None = None
    """Precision."""
    threads: int | Literal["framework_default"] | None = None
    """Threads."""
    batch_size: int | None = Field(default=None, gt=0, le=2**20)
    """Batch size."""
    scenario: str | None = None
    """Scenario."""
    preprocessing: str | None = None
    """Pre-processing variant; ``stated`` for the inputs' own steps."""


def _fp32() -> list[Precision]:
    return ["fp32"]


def _one_thread() -> list[int | Literal["framework_default"]]:
    return [1]


class Matrix(Section):
    """The dimensions whose product, over the frameworks, gives the cases."""

    hardware: list[str] = Field(default_factory=lambda: ["cpu"], min_length=1, max_length=256)
    """Hardware targets."""
    precision: list[Precision] = Field(default_factory=_fp32, min_length=1, max_length=64)
    """Precisions; what a framework would choose by itself must be asked for as ``framework_default``."""
    threads: list[int | Literal["framework_default"]] = Field(
        default_factory=_one_thread, min_length=1, max_length=200_000
    )
    """Numbers of threads a framework computes with."""
    batch_size: list[int] = Field(default_factory=lambda: [1], min_length=1, max_length=200_000)
    """Batch sizes; the one the inputs' shapes fix, where they do, unless given."""
    scenario: list[str] = Field(default_factory=lambda: ["single_stream"], min_length=1, max_length=64)
    """How load arrives: names of scenarios, those of the package MLPerf's."""
    include: list[MatrixEntry] = Field(default_factory=list, max_length=10_000)
    """Combinations to add to the product."""
    exclude: list[CaseSelector] = Field(default_factory=list, max_length=1_000)
    """Combinations to take out of the product, before ``include`` adds any."""


class Measurement(Section):
    """How latency is measured."""

    budget: Duration = 1.0
    """Longest measured window; it ends sooner when the median is known well enough."""
    relative_error: float = Field(default=0.01, gt=0, lt=1)
    """Half-width of the median's 95 % confidence interval, relative to it, at which measuring stops."""
    warmup_budget: Duration = 1.0
    """Longest warm-up; it ends sooner when the latency is steady."""
    restarts: int = Field(default=1, ge=1, le=MOST_RESTARTS)
    """In how many fresh predictor hosts the latency is measured; with more than one, the middle median counts."""
    affinity: CpuList | None = None
    """CPUs the predictor host is pinned to, such as ``0-3,6``; when absent it runs where pytest does."""


OnRegression = Literal["fail", "warn", "ignore"]
GatedQuantity = Literal["latency", "peak_memory", "load_time", "accuracy", "parity"]


class RatioPolicy(Section):
    """What a difference of latency, peak memory or load time means when the model is compared with a baseline."""

    smallest_effect: PositivePercentage | None = None
    """Smallest difference that matters, such as ``5 %``."""
    on_regression: OnRegression = "fail"
    """``fail`` the test, only ``warn`` in the table, or ``ignore`` the quantity: it is not compared then."""


class MetricPolicy(Section):
    """What a difference of one metric means when the model is compared with a baseline."""

    loss: Percentage = 0.0
    """Largest loss that is accepted, of the baseline's value, such as ``0.5 %``."""
    on_regression: OnRegression = "fail"
    """``fail`` the test, only ``warn`` in the table, or ``ignore`` the metric: it is not compared then."""


class OutputsPolicy(Section):
    """What a difference of raw outputs means when the model is compared with a baseline."""

    on_regression: OnRegression = "fail"
    """``fail`` the test, only ``warn`` in the table, or ``ignore`` the outputs: they are not compared then."""


class AcceptedRegression(Section):
    """A regression that is known, and does not fail until a day."""

    quantity: GatedQuantity
    """What regressed."""
    metric: str | None = None
    """Which metric, of ``accuracy``; all when absent."""
    when: CaseSelector | None = None
    """The cases it applies to; all when absent."""
    reason: str = Field(min_length=1)
    """Why it is accepted; shown in the report."""
    until: Day
    """The last day, such as ``2027-01-31``; after it the acceptance itself fails the tests it applies to."""
    at_most: PositivePercentage | None = None
    """Largest regression that is accepted, such as ``12 %``; any when absent."""


class GatePolicy(Section):
    """What fails when the model is compared with a baseline, by ``--mlscope-against``."""

    latency: RatioPolicy = Field(default_factory=RatioPolicy)
    """Latency."""
    peak_memory: RatioPolicy = Field(default_factory=RatioPolicy)
    """Peak memory of the predictor host."""
    load_time: RatioPolicy = Field(default_factory=RatioPolicy)
    """Time to load the model."""
    accuracy: dict[str, MetricPolicy] = Field(default_factory=dict)
    """Metric name to its policy; the first metric's holds for predictions that are compared row by row too."""
    parity: OutputsPolicy = Field(default_factory=OutputsPolicy)
    """Raw outputs."""
    accepted: list[AcceptedRegression] = Field(default_factory=list, max_length=1_000)
    """Known regressions."""


class Manifest(Section):
    """A model manifest."""

    schema_version: Literal[1] = Field(alias="schema")
    """Version of the manifest's schema."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)
    """Name of the model, in lower case."""
    version: str = Field(min_length=1)
    """Version of the model, as text: ``"1.0"``."""
    task: str = Field(min_length=1)
    """What the model does, such as ``image_classification`` or ``tabular_regression``."""
    description: str = ""
    """What the model is, for readers."""
    license: str | None = None
    """Licence of the model, best as an SPDX identifier."""
    references: list[Reference] = Field(default_factory=list, max_length=1_000)
    """Where the model and published figures come from."""
    kinds: list[str] | None = Field(default=None, min_length=1)
    """Which tests to make; by default every kind the manifest has what it takes for."""
    frameworks: dict[str, FrameworkEntry] = Field(min_length=1, max_length=256)
    """Framework name to the model in that framework's format."""
    inputs: list[Input] = Field(min_length=1, max_length=256)
    """The model's inputs."""
    outputs: list[Output] = Field(min_length=1, max_length=256)
    """The model's outputs."""
    preprocessing_variants: dict[str, dict[str, list[StepEntry]]] = Field(default_factory=dict, max_length=1_000)
    """Other ways to pre-process: variant name to input name to steps. Each becomes cases of its own, beside the
    inputs' own steps, which go by the name ``stated``."""
    dataset: DatasetEntry | None = None
    """What the model is evaluated on; needed for accuracy."""
    metrics: list[str | MetricEntry] = Field(default_factory=list, max_length=256)
    """Metrics to compute: a name, or ``metric: NAME`` with its parameters."""
    expect: Expectation = Field(default_factory=Expectation)
    """What must hold for every case."""
    expect_overrides: list[ExpectationOverride] = Field(default_factory=list, max_length=1_000)
    """What must hold for some cases instead."""
    matrix: Matrix = Field(default_factory=Matrix)
    """What to evaluate the model on."""
    scenarios: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=64)
    """Scenario name to what that scenario needs to be told: rates, bounds and sizes."""
    measurement: Measurement = Field(default_factory=Measurement)
    """How long latency is measured, and how exactly."""
    gate: GatePolicy = Field(default_factory=GatePolicy)
    """What fails when the model is compared with a baseline."""
