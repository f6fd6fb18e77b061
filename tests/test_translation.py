"""Photos in another domain: sizes, strips, grey, alpha, depth, metadata, strength; which file goes which way."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import ganvas
from ganvas.errors import BadConfig, BadImage, GanvasError, Stopped
from ganvas.images.batch_paths import Task
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.models import build
from ganvas.models.protocol import SizeRules
from ganvas.translation import TranslateConfig, run_translator, translate, translate_file, translator, weights_file
from ganvas.weights.checkpoint import save
from tests.models.test_row_strips import LEVEL, half_and_half, lively
from tests.upscaling.nets import small_srvgg
from tests.weights.foreign_img2img import resnet


class Invert(nn.Module):
    """Black becomes white: a translator whose answer is known; counts its calls."""

    in_channels = out_channels = 3
    whole_image_norm = False
    size_rules = SizeRules(multiple_of=4, minimum_px=8)

    def __init__(self, channels: int = 3, error: Exception | None = None):
        super().__init__()
        self.in_channels = self.out_channels = channels
        self.error, self.sizes = error, []

    def forward(self, img: Tensor) -> Tensor:
        self.sizes.append(tuple(img.shape[1:]))
        if self.error is not None:
            raise self.error
        return -img


class Redden(Invert):
    """Paints everything red."""

    def forward(self, img: Tensor) -> Tensor:
        return torch.stack([torch.ones_like(img[:, 0]), img[:, 1], img[:, 2]], dim=1)


def photo(height=12, width=10, **fields):
    return Photo(img=half_and_half(height, width), **fields)


@pytest.mark.parametrize("size", [(50, 70), (1, 1), (3, 200), (8, 8)])
@pytest.mark.parametrize("model", [Invert(), lively("cyclegan", n_blocks=1), lively("pix2pix", num_downs=4)])
def test_the_result_has_exactly_the_size_that_went_in(model, size):
    result = translate(photo(*size), model=model)
    assert result.img.shape == (1, 3, *size) and torch.isfinite(result.img).all()


@pytest.mark.parametrize(
    ("family", "fields"), [("cyclegan", {"n_blocks": 2}), ("pix2pix", {"num_downs": 5, "norm": "instance"})]
)
@pytest.mark.parametrize("size", [(50, 70), (1023, 777)])
def test_in_strips_it_is_the_same_picture(family, fields, size):
    net, source = lively(family, **fields), photo(*size)
    whole = translate(source, model=net, tile=5000)
    for tile in (32, 300):
        assert (translate(source, model=net, tile=tile).img - whole.img).abs().max() < LEVEL


def test_a_large_picture_takes_to_strips_by_itself(monkeypatch):
    net, source, calls = lively("cyclegan", n_blocks=1), photo(400, 400), []
    whole = translate(source, model=net).img
    in_strips = net.in_strips
    monkeypatch.setattr(net, "in_strips", lambda img, **how: calls.append(how) or in_strips(img, **how))
    assert not calls
    monkeypatch.setattr("ganvas.translation.free_bytes", lambda device: 20 * 2**20)
    result = translate(source, model=net)
    assert calls and (result.img - whole).abs().max() < LEVEL
    monkeypatch.setattr("ganvas.translation.free_bytes", lambda device: 2**20)
    with pytest.raises(GanvasError, match=r"400 x 400 pixels needs about .* GiB"):
        translate(source, model=net)


def test_when_memory_runs_out_strips_and_then_smaller_strips(monkeypatch):
    net, source, budgets = lively("cyclegan", n_blocks=1), photo(40, 40), []
    whole, in_strips = translate(source, model=net).img, net.in_strips

    def full(img):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    def some(img, *, budget_bytes, precision):
        budgets.append(budget_bytes)
        return full(img) if len(budgets) < 3 else in_strips(img, budget_bytes=budget_bytes, precision=precision)

    monkeypatch.setattr(net, "transform", full)
    monkeypatch.setattr(net, "in_strips", some)
    assert (translate(source, model=net).img - whole).abs().max() < LEVEL
    assert budgets == sorted(budgets, reverse=True) and budgets[2] < budgets[0]
    with pytest.raises(GanvasError, match="cannot run in strips"):
        translate(source, model=Invert(error=MemoryError()))
    with pytest.raises(RuntimeError, match="another matter"):
        translate(source, model=Invert(error=RuntimeError("another matter")))


def test_strength_blends_with_the_photo():
    source = photo()
    none, some, full = (translate(source, model=Invert(), strength=s).img for s in (0, 0.25, 1))
    assert torch.equal(none, source.img)
    assert torch.allclose(some, 0.5 * source.img, atol=1e-6)
    assert torch.equal(full, -source.img)


def test_grey_becomes_coloured_where_the_network_paints_colours(tmp_path):
    levels = torch.linspace(-1, 1, 400).view(1, 1, 20, 20)
    write_image(Photo(img=levels.expand(-1, 3, -1, -1), space="grey", bits=16), tmp_path / "grey.png")
    source = read_image(tmp_path / "grey.png")
    for model, space in ((Invert(), "grey"), (Invert(1), "grey"), (Redden(), "rgb")):
        write_image(translate(source, model=model), tmp_path / "out.png")
        again = read_image(tmp_path / "out.png")
        assert (again.space, again.bits, again.size) == (space, 16, (20, 20))
    write_image(translate(source, model=Invert()), tmp_path / "out.png")
    assert np.array_equal(read_image(tmp_path / "out.png").srgb_pixels(), 65535 - source.srgb_pixels())  # no bit lost


def test_a_network_of_one_channel_sees_grey_and_paints_grey():
    net = Invert(1)
    result = translate(photo(), model=net)
    assert net.sizes == [(1, 12, 12)]
    assert torch.equal(result.img[:, 0], result.img[:, 2]) and result.space == "rgb"


def test_alpha_stays_and_what_is_clear_does_not_bleed():
    """A red disc on hidden green: the network must not see green, and alpha comes back bit by bit."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    alpha = ((x - 20).square() + (y - 20).square() < 144).float()[None, None] * 0.7
    red, green = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ([1.0, -1, -1], [-1.0, 1, -1]))
    source, seen = Photo(img=torch.where(alpha > 0, red, green), alpha=alpha), []

    class Look(Invert):
        def forward(self, img: Tensor) -> Tensor:
            seen.append(img)
            return img

    result = translate(source, model=Look())
    assert torch.allclose(seen[0], red.expand(1, 3, 40, 40), atol=1e-5)
    assert torch.equal(result.alpha, alpha)


def test_upright_with_profile_and_metadata(tmp_path):
    img = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    img.save(tmp_path / "in.png", exif=exif.tobytes(), icc_profile=profile, dpi=(300, 300))
    done = translate_file(Task(tmp_path / "in.png", tmp_path / "deep" / "out.png"), Invert(), TranslateConfig())
    with Image.open(done) as out:
        assert out.size == (20, 30)  # turned
        assert out.getexif().get(0x0112, 1) == 1 and out.getexif()[0x010F] == "maker"
        assert out.info["icc_profile"] == profile and round(out.info["dpi"][0]) == 300


def test_a_palette_picture_becomes_an_ordinary_one(tmp_path):
    img = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)).quantize(8)
    buffer = io.BytesIO()
    img.save(buffer, "PNG")
    result = translate(read_image(buffer.getvalue()), model=Redden())
    write_image(result, tmp_path / "out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png").convert("RGB"))[..., 0], np.full((9, 9), 255))


def test_a_transparent_picture_cannot_be_a_jpg(tmp_path):
    write_image(photo(alpha=torch.zeros(1, 1, 12, 10)), tmp_path / "in.png")
    done = translate_file(Task(tmp_path / "in.png", tmp_path / "out.jpg"), Invert(), TranslateConfig())
    assert done.name == "out.png" and read_image(done).alpha is not None


def test_progress_and_stopping():
    told = []
    translate(photo(40, 40), model=lively("cyclegan", n_blocks=1), tile=8, on_step=lambda k, n: told.append((k, n)))
    assert told == sorted(told) and told[-1] == (100, 100) and len({k for k, _ in told}) > 10

    def stop(step, total):
        raise Stopped("enough")

    net = lively("cyclegan", n_blocks=1)
    with pytest.raises(Stopped):
        translate(photo(40, 40), model=net, tile=8, on_step=stop)
    assert net.on_progress is None


def test_a_network_in_training_is_run_in_eval_mode_and_left_in_training():
    net = build("pix2pix", num_downs=6, ngf=4).train()
    one, two = (translate(photo(64, 64), model=net).img for _ in range(2))
    assert net.training and torch.equal(one, two)
    assert int(net.levels[1].down_norm.num_batches_tracked) == 0


def test_statistics_of_each_picture():
    net = lively("pix2pix", num_downs=3)
    usual, own = (translate(photo(40, 40), model=net, statistics=which).img for which in ("training", "picture"))
    net.train()
    with torch.no_grad():
        published = net(photo(40, 40).img)
    assert (own - published).abs().max() < 0.01 * LEVEL < (usual - published).abs().max()


def test_fast_is_near():
    net, source = lively("cyclegan", n_blocks=1), photo(64, 48)
    exact = translate(source, model=net)
    for tile in (8, 1000):
        fast = translate(source, model=net, precision="fast", tile=tile)
        assert (fast.img - exact.img).abs().mean() < 4 * LEVEL


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": 1.5}, "strength must be a number from 0 to 1"),
        ({"tile": 3}, "8 pixels and more"),
        ({"precision": "half"}, "precision"),
        ({"direction": "there"}, "direction"),
        ({"direction": "AtoB"}, "already has a direction"),
        ({"statistics": "none"}, "statistics"),
        ({"model": small_srvgg(2)}, "srvgg is not a translator"),
        ({"model": Invert(4)}, "1 or 3 channels on either side, this one takes 4"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(BadConfig, match=words):
        translate(photo(), **{"model": Invert(), **options})


def test_a_tensor_is_no_photo():
    with pytest.raises(BadImage, match="read_image"):
        translate(torch.zeros(1, 3, 8, 8), model=Invert())


def test_a_network_that_changes_the_size_is_named():
    class Halve(Invert):
        def forward(self, img: Tensor) -> Tensor:
            return img[:, :, ::2]

    with pytest.raises(BadImage, match=r"Halve returned \[1, 3, 6, 12\] for \[1, 3, 12, 12\]"):
        run_translator(Halve(), photo().img, TranslateConfig())


# ------------------------------------------------------------------------------------------------ which file


def files(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "direction", "chosen"),
    [
        (["AtoB.safetensors", "BtoA.safetensors"], None, "AtoB.safetensors"),
        (["AtoB.safetensors", "BtoA.safetensors"], "BtoA", "BtoA.safetensors"),
        (["BtoA.safetensors", "D_BtoA.txt"], None, "BtoA.safetensors"),
        (["latest_net_G_A.pth", "latest_net_G_B.pth", "latest_net_D_A.pth"], "AtoB", "latest_net_G_A.pth"),
        (["5_net_G_B.pth", "40_net_G_B.pth", "40_net_D_B.pth"], "BtoA", "40_net_G_B.pth"),
        (["5_net_G_B.pth", "latest_net_G_B.pth"], "BtoA", "latest_net_G_B.pth"),
        (["latest_net_G.pth", "latest_net_D.pth"], None, "latest_net_G.pth"),
        (["netG_A2B.pth", "netG_B2A.pth", "netD_B2A.pth", "x_D_B2A.pth"], "BtoA", "netG_B2A.pth"),
    ],
)
def test_the_file_of_a_folder_that_goes_the_way(tmp_path, names, direction, chosen):
    folder = files(tmp_path / "x", *names)
    assert weights_file(folder, direction).name == chosen


def test_a_files_twin(tmp_path):
    folder = files(tmp_path / "x", "latest_net_G_A.pth", "latest_net_G_B.pth", "3_net_G_A.pth")
    assert weights_file(folder / "latest_net_G_A.pth", "BtoA") == folder / "latest_net_G_B.pth"
    assert weights_file(folder / "latest_net_G_A.pth", "AtoB") == folder / "latest_net_G_A.pth"
    with pytest.raises(BadConfig, match=r"no 3_net_G_B\.pth next to it"):
        weights_file(folder / "3_net_G_A.pth", "BtoA")
    with pytest.raises(BadConfig, match="has only one direction"):
        weights_file("vintage", "BtoA")


def test_a_folder_without_translators(tmp_path):
    with pytest.raises(BadConfig, match=r"contains no translator; there: nothing of the kind"):
        weights_file(files(tmp_path / "x", "D.safetensors", "notes.txt"), None)
    with pytest.raises(BadConfig, match=r"for BtoA; there: AtoB\.safetensors"):
        weights_file(files(tmp_path / "x", "AtoB.safetensors"), "BtoA")


def test_imported_networks_translate(tmp_path):
    """A CycleGAN .pth as its training leaves it, by its folder; the answer is that of the published layers."""
    torch.manual_seed(0)
    published = resnet(blocks=1).eval()
    files(tmp_path / "horse2zebra")
    torch.save(published.state_dict(), tmp_path / "horse2zebra" / "latest_net_G_A.pth")
    result = ganvas.translate(photo(12, 12), model=tmp_path / "horse2zebra", direction="AtoB")
    with torch.no_grad():
        assert torch.allclose(result.img, published(photo(12, 12).img).clamp(-1, 1), atol=1e-5)
    save(translator(tmp_path / "horse2zebra"), tmp_path / "own.safetensors")
    assert torch.allclose(translate(photo(12, 12), model=tmp_path / "own.safetensors").img, result.img, atol=1e-6)
