"""pytest's own fixture for running pytest, for all tests that do."""

from __future__ import annotations

pytest_plugins = ["pytester"]
