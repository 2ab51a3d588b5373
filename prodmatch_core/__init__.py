"""prodmatch: compose published product-matching methods from plugins.

Importing this package is cheap: it loads neither torch nor any plugin.
"""

from importlib.metadata import PackageNotFoundError, version

from pluggy import HookimplMarker

UNINSTALLED = "0+unknown"
"The version of a source tree that was never installed."

try:
    __version__ = version("prodmatch-core")
except PackageNotFoundError:
    __version__ = UNINSTALLED

hookimpl = HookimplMarker("prodmatch")
"Marks a function of a plugin module as the implementation of one of the hooks in `hookspecs`."

__all__ = ["UNINSTALLED", "__version__", "hookimpl"]
