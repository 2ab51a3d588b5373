"""prodmatch: compose published product-matching methods from plugins.

Importing this package is cheap: it loads neither torch nor any plugin.
"""

from importlib.metadata import PackageNotFoundError, version

from pluggy import HookimplMarker

try:
    __version__ = version("prodmatch-core")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

hookimpl = HookimplMarker("prodmatch")
"Marks a function of a plugin module as the implementation of one of the hooks in `hookspecs`."

__all__ = ["__version__", "hookimpl"]
