"""Does a framework folder keep what predictors promise? ``mlscope framework check`` and :func:`check` tell.

:func:`check` and :class:`CheckResult` are public: a third party's own tests may hold its folder against them.
"""

from pytest_mlscope.conformance.check_result import CheckResult
from pytest_mlscope.conformance.suite import check

__all__ = ["CheckResult", "check"]
