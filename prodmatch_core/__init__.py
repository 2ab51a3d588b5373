"""prodmatch: compose published product-matching methods from plugins.

Importing this package is cheap: it loads neither torch nor any plugin.
"""

from typing import Any

from pluggy import HookimplMarker

__version__: str

UNINSTALLED = "0+unknown"
"The version of a source tree that was never installed."

hookimpl = HookimplMarker("prodmatch")
"Marks a function of a plugin module as the implementation of one of the hooks in `hookspecs`."

__all__ = ["UNINSTALLED", "__version__", "hookimpl"]


def __getattr__(name: str) -> Any:
    """Look `__version__` up when first asked for: reading metadata takes longer than all else here."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    global __version__
    try:
        __version__ = version("prodmatch-core")
    except PackageNotFoundError:
        __version__ = UNINSTALLED
    return __version__
