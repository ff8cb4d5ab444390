"""What collection knows of a run, in ``config.stash``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_mlscope.cases import Case, Selection, names_of_framework
from pytest_mlscope.components import FrameworkFolder
from pytest_mlscope.session.items.loading import Manifests
from pytest_mlscope.text import closest, did_you_mean

RUN_STATE = pytest.StashKey["RunState"]()


class RunState:
    """Manifests, the command line's selection, and which values there were to select from."""

    def __init__(self, config: pytest.Config) -> None:
        self.manifests = Manifests(config)
        self.compares_outputs = False
        """Whether there is a baseline whose outputs can be compared."""
        self.has_items = False
        """Whether any item of a case was collected, deselected ones included."""
        self.collected: set[Path] = set()
        """Resolved paths of the manifests that pytest came upon."""
        self._first: dict[str, Case] = {}
        """The first selected case of each framework."""
        frameworks = frozenset(config.getoption("mlscope_framework") or ())
        hardware = frozenset(config.getoption("mlscope_hardware") or ())
        precisions = frozenset(config.getoption("mlscope_precision") or ())
        batch_sizes = frozenset(config.getoption("mlscope_batch_size") or ())
        self._wanted: dict[str, tuple[str, frozenset[Any]]] = {
            "framework": ("--mlscope-framework", frameworks),
            "hardware": ("--mlscope-hardware", hardware),
            "precision": ("--mlscope-precision", precisions),
            "batch_size": ("--mlscope-batch-size", batch_sizes),
        }
        self._selection = Selection(
            frameworks=frameworks, hardware=hardware, precisions=precisions, batch_sizes=batch_sizes
        )
        self._restricted = any(values for _, values in self._wanted.values())
        self._seen: dict[str, set[object]] = {dimension: set() for dimension in self._wanted}

    def select(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The cases the command line asks for, in the order given."""
        if not self._restricted:
            return self._remembered(cases)
        for dimension, seen in self._seen.items():
            if dimension == "framework":
                seen.update(name for case in cases for name in names_of_framework(case))
            else:
                seen.update(getattr(case, dimension) for case in cases)
        return self._remembered([case for case in cases if self._selection.matches(case)])

    def _remembered(self, cases: Sequence[Case]) -> Sequence[Case]:
        for case in cases:
            self._first.setdefault(case.framework, case)
        return cases

    def frameworks(self) -> dict[str, FrameworkFolder]:
        """Those of the selected cases, by name."""
        return {name: self.manifests.plan(case).framework_folder for name, case in self._first.items()}

    def selection_mistake(self) -> str | None:
        """What is wrong when an option names a value that no collected case has."""
        for dimension, (option, wanted) in self._wanted.items():
            seen = sorted(map(str, self._seen[dimension]))
            for value in sorted(map(str, wanted)):
                # Where nothing was seen, no manifest was collected, and the option is not what is wrong.
                if seen and value not in seen:
                    hint = did_you_mean(closest(value, seen))
                    return f"{option}: no case has {value!r}{hint}; cases have: {', '.join(seen)}"
        # Each value exists, but no case has them all: without this the run would be empty and say nothing.
        if self._seen["framework"] and not self._first:
            asked = ", ".join(
                f"{option}={','.join(sorted(map(str, wanted)))}" for option, wanted in self._wanted.values() if wanted
            )
            return f"no case agrees with all of {asked}; leave one of them out"
        return None


def run_state(config: pytest.Config) -> RunState:
    """The state of this run; there is one only under ``--mlscope``."""
    return config.stash[RUN_STATE]
