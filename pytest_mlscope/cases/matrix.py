"""From a manifest's matrix to its cases."""

from __future__ import annotations

import itertools

from pytest_mlscope.cases.case import Case
from pytest_mlscope.cases.ids import id_parts
from pytest_mlscope.manifest import (
    OUTER,
    LoadedManifest,
    dimensions_of,
    excluded_cells,
    included_cell,
    offers,
)


def expand(manifest: LoadedManifest) -> list[Case]:
    """All cases of a manifest: the product of its dimensions, less ``exclude``, plus ``include``.

    A framework has cases with the hardware and precisions that it offers. Cases of one framework and version stand
    together, so that its host stays warm. An id depends on the manifest alone.
    """
    content = manifest.content
    dimensions = dimensions_of(content)
    written = id_parts(content, dimensions)
    excluded_outer = excluded_cells(content, before=OUTER)
    excluded_inner = excluded_cells(content, among=OUTER)
    # Ids are put together from halves, which makes the inner loop twice as fast.
    inner = [
        (*values, "".join(map(dict.__getitem__, written[OUTER - 1 :], values)))
        for values in itertools.product(*dimensions.values[OUTER:])
    ]
    # Made once: a matrix may have a million cases.
    whose = {"model": content.name, "manifest": str(manifest.path), "manifest_sha256": manifest.sha256}
    cases: list[Case] = []
    for outer in dimensions.cells(before=OUTER):
        framework, version, hardware, precision, variant = outer
        if outer in excluded_outer or not offers(manifest.registry, framework, hardware, precision):
            continue
        start = "".join(map(dict.__getitem__, written, ((framework, version), *outer[2:])))
        here = [end for end in inner if (*outer, *end) not in excluded_inner] if excluded_inner else inner
        # Positional arguments, which a frozen dataclass takes faster than keywords.
        cases += [
            Case(
                framework,
                hardware,
                precision,
                threads,
                batch_size,
                scenario,
                variant,
                version,
                start + end,
                **whose,
            )
            for threads, batch_size, scenario, end in here
        ]
    for entry in content.matrix.include:
        cell = included_cell(entry, dimensions)
        framework, version, hardware, precision, variant, threads, batch_size, scenario = cell
        name = "".join(map(dict.__getitem__, written, ((framework, version), *cell[2:])))
        cases.append(
            Case(
                framework,
                hardware,
                precision,
                threads,
                batch_size,
                scenario,
                variant,
                version,
                name,
                **whose,
            )
        )
    return cases
