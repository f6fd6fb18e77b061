"""Training datasets: folders and archives of any images, cropped, labelled and cached."""

from ganvas.datasets.image_dataset import ImageDataset, open_image_dataset
from ganvas.datasets.sampler import Sampler

__all__ = ["ImageDataset", "Sampler", "open_image_dataset"]
