"""Which distributions an environment holds."""

import importlib
from typing import Dict


def installed_libraries() -> Dict[str, str]:
    """Distribution name (lower case) to version, of everything installed in this interpreter."""
    try:
        from importlib.metadata import distributions
    except ImportError:  # Python 3.7 and older
        # By name, since it is only there on interpreters that no type checker looks at.
        pkg_resources = importlib.import_module("pkg_resources")
        return {d.project_name.lower(): d.version for d in pkg_resources.working_set}
    found: Dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        # What an interrupted installation leaves behind has no name.
        if name:
            # The first wins, as on import: a later folder of the path may hold another version of it.
            found.setdefault(name.lower(), distribution.version)
    return dict(sorted(found.items()))
