"""Does a framework folder keep what predictors promise? ``mlscope framework check`` and :func:`check` tell.

:func:`check` and :class:`CheckResult` are public: a third party's own tests may hold its folder against them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
