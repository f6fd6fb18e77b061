"""PICTURES → TRAINING: folders and archives of any pictures as one even, labelled, cached set."""

from ganvas.datasets.image_dataset import ImageDataset, open_image_dataset
from ganvas.datasets.sampler import Sampler

__all__ = ["ImageDataset", "Sampler", "open_image_dataset"]
