"""PICTURES → TRAINING: folders and archives of any pictures as one even, labelled, cached set."""

from ganvas.datasets.pictures import Pictures, open_pictures
from ganvas.datasets.sampler import Sampler

__all__ = ["Pictures", "Sampler", "open_pictures"]
