"""What a scenario is: how load arrives at a model while its latency is measured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from pytest_mlscope.components.parameters import Component

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_mlscope.hosts import ReadyModel
    from pytest_mlscope.measurements import Timed


class Scenario(Component):
    """A way in which load arrives: ``matrix: {scenario: [NAME]}``. Its fields are the keys under ``scenarios: NAME:``.

    Subclasses set ``name`` and :attr:`sample`.
    """

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True)

    sample: ClassVar[str] = "batch"
    """What one latency is of, in a word, such as ``query``: reports say it."""

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
