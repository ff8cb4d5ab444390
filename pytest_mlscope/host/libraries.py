"""Which distributions an environment holds."""

from typing import Dict


def installed_libraries() -> Dict[str, str]:
    """Distribution name (lower case) to version, of everything installed in this interpreter."""
    try:
        from importlib.metadata import distributions
    except ImportError:  # Python 3.7 and older
        import pkg_resources  # only there on old interpreters

        return {d.project_name.lower(): d.version for d in pkg_resources.working_set}
    found: Dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(name.lower(), distribution.version)
    return dict(sorted(found.items()))
