"""What a kind of measurement is: one object that evaluates a case, checks, compares, and says how it is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pytest_mlscope.cases import Case, Plan
    from pytest_mlscope.components.check import Check
    from pytest_mlscope.gate import Gate
    from pytest_mlscope.manifest import Manifest
    from pytest_mlscope.measurements import Context, Evaluation, MeasuredColumn
    from pytest_mlscope.records import Comparison


class Bounds(BaseModel):
    """What a manifest may expect of a kind of measurement: the keys under ``expect: NAME:``."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Measurement(ABC):
    """A kind of measurement. Its name is the word under ``kinds:``, the mark for ``-m``, and the test is ``test_NAME``.

    Objects hold no state: one serves every case of the process.
    """

    name: ClassVar[str]
    times: ClassVar[bool] = False
    """Whether it measures time: it then has the machine alone, and is refused on emulated processors."""
    ignores: ClassVar[tuple[str, ...]] = ("preprocessing",)
    """Dimensions that its result does not depend on: of the cases that differ in these alone, the first is measured."""
    columns: ClassVar[Sequence[MeasuredColumn]] = ()
    """Which fields of the result are columns of the summary."""
    bounds: ClassVar[type[Bounds] | None] = None
    """What ``expect: NAME:`` takes; nothing may stand there when ``None``."""
    expects: ClassVar[tuple[str, ...]] = ()
    """The keys of the manifest's ``expect`` that are about it, for the kinds of the package."""
    has_tests: ClassVar[bool] = True
    """Whether manifests have tests of it."""
    by_default: ClassVar[bool] = False
    """Whether every manifest has it that lacks nothing; else only one that names it under ``kinds`` or ``expect``."""

    def lacking(self, manifest: Manifest, *, baseline: bool) -> str | None:
        """What a manifest lacks for it, in words; ``None`` when nothing.

        :param baseline: whether outputs are compared with a baseline's too.
        """
        return None

    def takes(self, manifest: Manifest, case: Case, *, baseline: bool) -> bool:
        """Whether a case has a test of it. By default, cases with the pre-processing that the inputs state."""
        return case.preprocessing == "stated"

    def only_compares(self, plan: Plan) -> bool:
        """Whether a case has nothing to evaluate, and is compared with the baseline alone."""
        return False

    @abstractmethod
    def evaluate(self, context: Context) -> Any:
        """Measure a case.

        :return: a dataclass object whose fields are numbers, text, lists and mappings of such, for the JSON report.
        :raises MlscopeError: when the case fails.
        """

    def check(self, result: Any, bounds: Any, plan: Plan) -> Iterable[Check]:
        """The manifest's bounds against a result: one check each.

        :param bounds: of the type :attr:`bounds`, as the manifest states them; ``None`` where it states none.
        """
        return ()

    def compare(self, evaluation: Evaluation, gate: Gate, *, companions: Sequence[Plan], family: int) -> Comparison:
        """Against the run's baseline. By default it says that there is no comparison.

        :param companions: further cases that will be asked for in this process.
        :param family: how many comparisons of this kind the run makes.
        """
        return gate.cannot_compare(self.name)
