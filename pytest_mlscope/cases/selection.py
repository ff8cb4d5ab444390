"""Which cases the command line asks for."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_mlscope.cases.case import Case


@dataclass(frozen=True)
class Selection:
    """Values to keep, by dimension; an empty set keeps all."""

    frameworks: frozenset[str] = frozenset()
    hardware: frozenset[str] = frozenset()
    precisions: frozenset[str] = frozenset()
    batch_sizes: frozenset[int] = frozenset()

    def matches(self, case: Case) -> bool:
        """Whether a case agrees with every dimension that is restricted."""
        return (
            (not self.frameworks or case.framework in self.frameworks)
            and (not self.hardware or case.hardware in self.hardware)
            and (not self.precisions or case.precision in self.precisions)
            and (not self.batch_sizes or case.batch_size in self.batch_sizes)
        )
