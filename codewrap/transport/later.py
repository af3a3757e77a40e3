"""Imports that wait for their first use: for what a package imports and, as it is used here, never needs.

`pysher` imports `requests` for its own way to authorize, which ours replaces. With all that it pulls in that is 6 MiB, and a
quarter of the time that a viewer takes to start.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from types import ModuleType

_loading = threading.RLock()


def import_later(name: str) -> None:
    """Let ``import name`` do nothing until something is looked for in the module. Harmless where it is loaded, or not installed.

    `importlib.util.LazyLoader` is meant for this, but on Python 3.11 the import statement itself sets it off.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    # Who imports a submodule asks for the package's path, and so has the package loaded first, as it must be.
    vars(module).pop("__path__", None)
    module.__class__ = _Later
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)  # as the import system does it


class _Later(ModuleType):
    """A module that is executed when something is looked for that is not there yet."""

    def __getattr__(self, attribute: str) -> object:
        with _loading:
            spec = self.__spec__
            if self.__class__ is _Later and spec is not None and spec.loader is not None and "__path__" not in vars(self):
                self.__path__ = spec.submodule_search_locations or []
                spec.loader.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        try:
            return vars(self)[attribute]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}") from None
