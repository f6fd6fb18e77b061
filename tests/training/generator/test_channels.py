"""Grey pictures: as many channels from the data to the weights, in every family; what the data decide is refused."""

import pytest
import torch
from PIL import Image

from ganvas.errors import BadConfig
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.train import train
from tests.training.tiny import narrowed, pictures


@pytest.fixture
def folder(tmp_path):
    for i, img in enumerate(pictures(count=6, px=64)):
        Image.fromarray(img.permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("preset", ["mlp-64", "dcgan-64", "fast-64", "style-64-cpu", "sg3-t-256", "r3-64"])
def test_a_folder_is_learnt_in_grey(preset, folder):
    trained = train(folder, config=narrowed(preset, channels=1))
    G = trained.generator
    assert G.img_channels == trained.discriminator.img_channels == 1
    with torch.no_grad():
        assert G(torch.zeros(2, G.z_dim)).shape[1] == 1


def test_channels_that_the_pictures_do_not_have_are_refused():
    with pytest.raises(BadConfig, match="channels=1, but the images have 3"):
        train(pictures(count=6), config=narrowed("mlp-64", channels=1))


@pytest.mark.parametrize("field", ["img_channels", "img_resolution", "c_dim"])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_setting_that_the_data_decide_is_refused(field, network):
    with pytest.raises(BadConfig, match=rf"{network}\.{field} follows from the data: set (channels|resolution|labels)"):
        TrainConfig(**{network: {field: 1}})
