"""Plan, evaluate, validate and test from Python: what the command line and a server call."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
