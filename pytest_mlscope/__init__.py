"""Evaluate machine-learning models with pytest: accuracy, parity and latency across frameworks and hardware.

The public names stand in the stub beside this file. Each is imported on first use, because pytest imports this
package in every run.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
