"""What a scenario is: how load arrives at a model while its latency is measured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from pytest_mlscope.components.parameters import Component
from pytest_mlscope.quantities import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mlscope.components.check import Check
    from pytest_mlscope.hosts import ReadyModel
    from pytest_mlscope.measurements import Latency, Timed


class Scenario(Component):
    """A way in which load arrives: ``matrix: {scenario: [NAME]}``. Its fields are the keys under ``scenarios: NAME:``.

    Subclasses set ``name`` and :attr:`sample`.
    """

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True)

    sample: ClassVar[str] = "batch"
    """What one latency is of, in a word, such as ``query``: reports say it."""
    is_rate: ClassVar[bool] = False
    """Whether its figure is the rows a second rather than the latency, as MLPerf has it of ``offline``."""

    free: ClassVar[frozenset[str]] = frozenset()
    """Settings in which this run may differ from a saved one that it is compared with."""

    def rows(self, batch_size: int) -> int:
        """How many rows :meth:`measure` is given: those whose prediction is one latency. By default, a batch."""
        return batch_size

    def lacking(self) -> str | None:
        """Which settings a case of this scenario needs and the manifest does not state, in words."""
        return None

    @abstractmethod
    def measure(self, model: ReadyModel, inputs: Mapping[str, NDArray[Any]]) -> Timed:
        """Time a loaded model. The machine is ours alone; profilers run.

        :param inputs: input name to :meth:`rows` rows, pre-processed, as the framework takes them.
        :raises HostError: when the framework fails.
        """

    def checks(self, latency: Latency) -> Iterable[Check]:
        """What must hold of every latency in this scenario, whatever the manifest expects. By default nothing."""
        return ()

    def incomparable(self, then: Latency, now: Latency) -> str | None:
        """Why a saved run's latency and this run's cannot be compared, in words; ``None`` where they can.

        By default they cannot where their samples are not of equally many rows.
        """
        if (then.sample, then.rows_per_query) == (now.sample, now.rows_per_query):
            return None
        was, is_now = (f"{each.sample} of {plural(each.rows_per_query, 'row')}" for each in (then, now))
        return f"a {was} then and a {is_now} now, so their latencies do not compare"

    def pace(self, latency: Latency) -> tuple[str, float | None]:
        """The setting of the manifest that gives more samples, and the seconds that each takes of it, where known."""
        n = len(latency.samples_ns)
        return "measurement.budget", latency.window_seconds / n if n else None
