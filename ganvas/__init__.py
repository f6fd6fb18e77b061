"""ganvas: the workbench for GAN image editing.

Importing this is quick: torch loads when a name that needs it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "BadInput",
    "Crop",
    "GanvasError",
    "Photo",
    "Recipe",
    "TrainConfig",
    "WeightsError",
    "__version__",
    "build",
    "invert",
    "load",
    "open_session",
    "read_image",
    "save",
    "train",
    "translate",
    "upscale",
    "write_image",
]

# The sign on the door: public name → where it is defined. tests/test_face.py holds it to __all__.
_HOME = {
    "BadInput": "ganvas.errors",
    "Crop": "ganvas.images.crop",
    "GanvasError": "ganvas.errors",
    "Photo": "ganvas.images.photo",
    "Recipe": "ganvas.editing.recipe",
    "TrainConfig": "ganvas.training.generator.config",
    "WeightsError": "ganvas.errors",
    "build": "ganvas.models",
    "invert": "ganvas.inversion.optimise",
    "load": "ganvas.weights.load",
    "open_session": "ganvas.session.open",
    "read_image": "ganvas.images.files",
    "save": "ganvas.weights.checkpoint",
    "train": "ganvas.training.generator.train",
    "translate": "ganvas.translation",
    "upscale": "ganvas.upscaling.upscale",
    "write_image": "ganvas.images.files",
}

if TYPE_CHECKING:
    from ganvas.editing.recipe import Recipe
    from ganvas.errors import BadInput, GanvasError, WeightsError
    from ganvas.images.crop import Crop
    from ganvas.images.files import read_image, write_image
    from ganvas.images.photo import Photo
    from ganvas.inversion.optimise import invert
    from ganvas.models import build
    from ganvas.session.open import open_session
    from ganvas.training.generator.config import TrainConfig
    from ganvas.training.generator.train import train
    from ganvas.translation import translate
    from ganvas.upscaling.upscale import upscale
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
