"""ganvas: the workbench for GAN image editing.

Importing this is quick: torch loads when a name that needs it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "BadInput",
    "GanvasError",
    "WeightsError",
    "__version__",
    "build",
    "load",
    "save",
]

# The sign on the door: public name → where it is defined. tests/test_face.py holds it to __all__.
_HOME = {
    "BadInput": "ganvas.errors",
    "GanvasError": "ganvas.errors",
    "WeightsError": "ganvas.errors",
    "build": "ganvas.models",
    "load": "ganvas.weights.load",
    "save": "ganvas.weights.checkpoint",
}

if TYPE_CHECKING:
    from ganvas.errors import BadInput, GanvasError, WeightsError
    from ganvas.models import build
    from ganvas.weights.checkpoint import save
    from ganvas.weights.load import load


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ganvas' has no attribute {name!r}; public names: {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
