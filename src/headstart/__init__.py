"""headstart: a folder of labelled pictures becomes an honest, saved classifier in one pass.

    import headstart

    model = headstart.train("photos/")              # writes photos-model/
    print(model.summary())
    model = headstart.load("photos-model")
    print(model.predict("new.jpg")[0].label)

The public names are loaded on first use: `import headstart` alone imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError as HeadstartError
from headstart.version import __version__ as __version__

if TYPE_CHECKING:
    from headstart.look import Look as Look
    from headstart.model.folder import load as load
    from headstart.model.model import Model as Model
    from headstart.model.predict import Prediction as Prediction
    from headstart.recipe import train as train
    from headstart.trust import check as check

_HOME = {
    "Look": ("headstart.look", "Look"),
    "Model": ("headstart.model.model", "Model"),
    "Prediction": ("headstart.model.predict", "Prediction"),
    "check": ("headstart.trust", "check"),
    "load": ("headstart.model.folder", "load"),
    "train": ("headstart.recipe", "train"),
}

__all__ = ["HeadstartError", "Look", "Model", "Prediction", "__version__", "check", "load", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
