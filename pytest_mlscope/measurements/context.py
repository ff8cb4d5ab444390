"""What a kind of measurement gets to measure a case with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pytest_mlscope.cases import Plan
from pytest_mlscope.hosts import ReadyModel
from pytest_mlscope.measurements.evaluator import Evaluator
from pytest_mlscope.measurements.rows.first_rows import named_rows

if TYPE_CHECKING:
    from pluggy import HookRelay


@dataclass(frozen=True)
class Context:
    """A case, and what runs it."""

    plan: Plan
    evaluator: Evaluator
    hook: HookRelay
    alone: bool
    """Whether the machine is to be ours alone: of a measurement that times."""

    @contextmanager
    def loaded(self) -> Iterator[ReadyModel]:
        """The case's model, loaded in its host. The machine is ours, alone where the measurement times.

        :raises MlscopeError: when it cannot be loaded, or cannot run here.
        """
        with self.evaluator.loaded(self.plan, alone=self.alone) as model:
            yield model

    def rows(self, model: ReadyModel, count: int) -> dict[str, NDArray[Any]]:
        """The first rows of the dataset, pre-processed, by the manifest's input names; repeated when there are fewer.

        :raises DatasetError: when one cannot be made.
        """
        return named_rows(model, count)
