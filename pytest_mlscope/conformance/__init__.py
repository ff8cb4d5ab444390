"""Does a framework folder keep what predictors promise? ``mlscope framework check`` and :func:`check` tell.

:func:`check` and :class:`Finding` are public: a third party's own tests may hold its folder against them.
"""

from pytest_mlscope.conformance.finding import Finding
from pytest_mlscope.conformance.suite import check

__all__ = ["Finding", "check"]
