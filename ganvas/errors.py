"""Everything ganvas can complain about, one family.

    GanvasError                 catch this one to catch all of ours
    ├── BadInput                what was handed in does not fit; the message says what would
    │   ├── BadImage            a picture, or a file that should be one
    │   ├── BadLatent           z, w or ws
    │   ├── BadMask             a mask, a stroke, a region
    │   ├── BadConfig           a setting, a name, an option
    │   └── NoFace              no usable face where one is needed
    ├── WeightsError            a weights file that is not loaded; nothing of it was run
    │   ├── UnsafeWeights       it asks for code, or for more memory than it could need
    │   ├── BrokenWeights       cut short, a web page under a wrong name, a pointer instead of the file
    │   └── UnknownWeights      readable, but no family fits
    ├── FetchError              something could not be fetched, or is not what was announced
    ├── MissingExtra            an optional dependency is not installed; the message has the command
    └── Stopped                 the caller asked a long job to stop

A message says who complains, what was expected, what came, and what to do.
"""


class GanvasError(Exception):
    """The root of the family."""


class BadInput(GanvasError, ValueError):
    """Invalid input."""


class BadImage(BadInput):
    """A picture, or a file that should be one."""


class BadLatent(BadInput):
    """z, w or ws of a wrong shape, or of another generator."""


class BadMask(BadInput):
    """A mask, a stroke or a region that does not fit its picture."""


class BadConfig(BadInput):
    """A setting, a name or an option that does not exist or does not fit."""


class NoFace(BadInput):
    """No usable face where one is needed."""


class WeightsError(GanvasError):
    """A weights file that is not loaded; nothing of it was run."""


class UnsafeWeights(WeightsError):
    """The file asks for code, or for more memory than its contents could need."""


class BrokenWeights(WeightsError):
    """The file is cut short, or is something else under a wrong name."""


class UnknownWeights(WeightsError):
    """The file can be read, but no family fits what is in it."""


class FetchError(GanvasError):
    """Something could not be fetched, or is not what was announced."""


class MissingExtra(GanvasError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an optional dependency. Install it with: pip install 'ganvas[{extra}]'")


class Stopped(GanvasError):
    """The caller stopped a long job. `state` is its result so far, if the job can be resumed."""

    state: object = None
