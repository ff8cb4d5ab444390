from .api.evaluation import evaluate as evaluate
from .components.datasets.base import Dataset as Dataset
from .components.datasets.base import DataSource as DataSource
from .components.framework import FrameworkFolder as FrameworkFolder
from .components.hardware import HardwareTarget as HardwareTarget
from .components.measurement import Bounds as Bounds
from .components.measurement import Measurement as Measurement
from .components.metrics.base import Metric as Metric
from .components.metrics.base import MetricState as MetricState
from .components.metrics.base import MetricValue as MetricValue
from .components.metrics.base import per_sample_metric as per_sample_metric
from .components.postprocessing.base import PostprocessingStep as PostprocessingStep
from .components.preprocessing.base import PreprocessingStep as PreprocessingStep
from .components.profilers.base import MeasuredWindow as MeasuredWindow
from .components.profilers.base import Profiler as Profiler
from .components.profilers.base import Reading as Reading
from .components.report_writer import ReportWriter as ReportWriter
from .components.scenario import Scenario as Scenario
from .expectations.check import Check as Check
from .manifest.quantities import Duration as Duration
from .manifest.quantities import MemorySize as MemorySize
from .measurements.latency.timed import Timed as Timed
from .measurements.latency.timed import WarmModel as WarmModel
from .measurements.results import Evaluation as Evaluation
from .measurements.results import MeasuredColumn as MeasuredColumn
from .session.items.marks import mlscope_cases as mlscope_cases

__version__: str
