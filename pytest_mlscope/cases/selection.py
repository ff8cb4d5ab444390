"""Which cases the command line asks for."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_mlscope.cases.case import Case
from pytest_mlscope.manifest import requirement


def names_of_framework(case: Case) -> tuple[str, str]:
    """What the command line may call a case's framework: by its name, or name and version.

    >>> names_of_framework(Case("jax", version="0.10", model="m", manifest="m.mlscope.yml", manifest_sha256=""))
    ('jax', 'jax==0.10')
    """
    return (case.framework, requirement(case.framework, case.version))


@dataclass(frozen=True)
class Selection:
    """Values to keep, by dimension; an empty set keeps all."""

    frameworks: frozenset[str] = frozenset()
    """Names, for all versions of a framework, or :func:`requirement` of one version."""
    hardware: frozenset[str] = frozenset()
    precisions: frozenset[str] = frozenset()
    batch_sizes: frozenset[int] = frozenset()

    def matches(self, case: Case) -> bool:
        """Whether a case agrees with every dimension that is restricted."""
        return (
            (not self.frameworks or not self.frameworks.isdisjoint(names_of_framework(case)))
            and (not self.hardware or case.hardware in self.hardware)
            and (not self.precisions or case.precision in self.precisions)
            and (not self.batch_sizes or case.batch_size in self.batch_sizes)
        )
