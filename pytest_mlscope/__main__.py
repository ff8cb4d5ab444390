"""``python -m pytest_mlscope``: the ``mlscope`` command of this interpreter."""

from __future__ import annotations

import sys

from pytest_mlscope.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
