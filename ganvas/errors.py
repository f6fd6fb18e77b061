"""The exceptions of ganvas.

    GanvasError                 base class of all of them
    ├── BadInput                invalid input; the message says what is expected
    │   ├── BadImage            an image, or an image file
    │   ├── BadLatent           z, w or ws
    │   ├── BadMask             a mask, a stroke, a region
    │   ├── BadConfig           a setting, a name, an option
    │   │   └── UnwritableFile  a file cannot be written, or the disk is full
    │   └── NoFace              no usable face where one is needed
    ├── WeightsError            a weights file is refused; nothing in it was run
    │   ├── UnsafeWeights       it contains code, or requests too much memory
    │   ├── BrokenWeights       truncated, a web page under a wrong name, a pointer instead of the file
    │   └── UnknownWeights      readable, but no family matches
    ├── FetchError              a download failed, or has the wrong hash
    ├── MissingExtra            an optional dependency is not installed; the message has the command
    └── Stopped                 the caller asked a long job to stop

    ImageWarning                a warning, not an error: something of an image file is left out

A message says what was expected, what was given, and how to fix it.
"""


class GanvasError(Exception):
    """Base class of all errors of ganvas."""


class BadInput(GanvasError, ValueError):
    """Invalid input."""


class BadImage(BadInput):
    """An invalid image or image file."""


class BadLatent(BadInput):
    """z, w or ws of a wrong shape, or of another generator."""


class BadMask(BadInput):
    """A mask, a stroke or a region that does not fit its picture."""


class BadConfig(BadInput):
    """An invalid setting, name or option."""


class UnwritableFile(BadConfig, OSError):
    """A file cannot be written: no folder, no permission, a full disk. `errno` is the system's, where it gave one."""


class NoFace(BadInput):
    """No usable face where one is needed."""


class WeightsError(GanvasError):
    """A weights file is refused; nothing in it was run."""


class UnsafeWeights(WeightsError):
    """The file contains code, or requests more memory than its contents need."""


class BrokenWeights(WeightsError):
    """The file is truncated, or something else under a wrong name."""


class UnknownWeights(WeightsError):
    """The file can be read, but matches no family."""


class FetchError(GanvasError):
    """A download failed, or has the wrong hash."""


class MissingExtra(GanvasError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an optional dependency. Install it with: pip install 'ganvas[{extra}]'")


class ImageWarning(UserWarning):
    """Something of an image file is left out: further frames, or metadata that a format has no room for."""


class EditWarning(UserWarning):
    """An edit goes so far that the picture breaks up."""


class Stopped(GanvasError):
    """The caller stopped a long job. `state` is its result so far, if the job can be resumed."""

    state: object = None
