"""Image translation with any translator, for images of any size; the output has the same size as the input.

Large pictures are never cut into tiles that know nothing of each other: networks that normalise by the whole picture
would give each another colour. They run layer by layer in strips (`models/strips.py`), by the statistics of the whole.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, BadImage, GanvasError
from ganvas.fields import check_known, check_settings, setting
from ganvas.images.batch_paths import Task, check_fits, target_for
from ganvas.images.digital_source import EDITED
from ganvas.images.files import read_image, write_image
from ganvas.images.frames import change_frames, open_frames
from ganvas.images.output_check import check_output
from ganvas.images.photo import Photo
from ganvas.images.transparency import fill_transparent_colours
from ganvas.models.img2img import crop_back, pad_to_rules
from ganvas.models.pix2pix import with_picture_statistics
from ganvas.models.protocol import PRECISIONS, Translator
from ganvas.ops.memory import MAX_TILE_BYTES, MEMORY_FRACTION, PROBE_PX, bytes_needed, free_bytes, is_out_of_memory
from ganvas.weights.load import load

DIRECTIONS = ("AtoB", "BtoA")
STATISTICS = ("training", "picture")
MIN_PIXELS_FOR_STRIPS = 2**17  # so few are never worth counting memory for
MAX_STRIP_BYTES = 2**28  # strips of more are no quicker
MIN_STRIP_BYTES = 2**20  # of a strip
STRIP_FRACTIONS = (1, 1 / 4, 1 / 16, 1 / 64)  # of the strips, when memory runs out
GREY_TOLERANCE = 2 / 255  # channels that differ by less, in [-1, 1], are grey
PROGRESS_STEPS = 100  # of progress a picture

_OnStep = Callable[[int, int], Any]


@dataclass(frozen=True, kw_only=True)
class TranslateConfig:
    """How a picture is translated."""

    strength: float = setting(1.0, ge=0, le=1, help="0 = the picture as it was, 1 = the network's")
    tile: int = setting(
        0, ge=0, unit="px", help="longer pictures run in strips of about tile² pixels; 0 = as free memory allows"
    )
    precision: str = setting("exact", choices=PRECISIONS, help="of the arithmetic")

    def __post_init__(self) -> None:
        check_settings(self, who="translate", whole_floats=True)
        if 0 < self.tile < 8:
            raise BadConfig(f"tile is 0 (as memory allows) or 8 pixels and more, got {self.tile}")


def translate(
    photo: Photo,
    *,
    model: Any,
    direction: str | None = None,
    strength: float = 1.0,
    statistics: str = "training",
    tile: int = 0,
    precision: str = "exact",
    on_step: _OnStep | None = None,
) -> Photo:
    """Translate a photo to another domain.

    Args:
        photo: of `read_image`; its size, depth, transparency, profile and metadata stay. A grey photo becomes a
            coloured one where the network paints colours.
        model: a catalogue name, the path of a translator's file or of the folder of a training run, or the network.
        direction: "AtoB" or "BtoA", where the model is one of a pair; None = the one that was named, or AtoB.
        strength: 0 = the photo as it was, 1 = the network's picture; between them a blend.
        statistics: for networks with batch norm: "training" = the averages of training, "picture" = those of each
            picture, as pix2pix was published.
        tile: pictures longer than this on a side run in strips of about tile² pixels; 0 = as free memory allows. The
            result does not depend on it.
        precision: "exact", or "fast" where this machine computes bfloat16 faster.
        on_step: called with (steps done, steps in all); what it raises stops the work.

    Returns:
        A new Photo of the same size.

    Raises:
        BadConfig: an option out of its range, or a model that is no translator or has no such direction.
        FetchError, WeightsError: the model is not here, or cannot be read.
    """
    if not isinstance(photo, Photo):
        raise BadImage(f"translate expects a Photo, got {type(photo).__name__}. Read one with ganvas.read_image(path).")
    config = TranslateConfig(strength=strength, tile=tile, precision=precision)
    return translate_photo(
        photo, translator(model, direction=direction, statistics=statistics), config, on_step=on_step
    )


def translate_file(
    task: Task,
    net: Any,
    config: TranslateConfig,
    *,
    on_step: _OnStep | None = None,
    quality: int = 95,
    disclose: bool = True,
) -> Path:
    """Translate one file.

    `disclose`: see `write_image`. Of a file of several pictures every one is translated, where the target can hold
    them: frames in .gif, .webp and .png, pages in .tif. A transparent picture whose target cannot be (.jpg, .bmp)
    becomes a .png beside it.

    Returns:
        The file written.

    Raises:
        BadImage: the picture cannot be read, or the result not be written; where that is foreseeable, before the work.
    """
    frames = open_frames(task.source, task.target)
    if frames is not None:
        task.target.parent.mkdir(parents=True, exist_ok=True)

        def change(photo: Photo, report: _OnStep) -> Photo:
            return translate_photo(photo, net, config, on_step=report)

        return change_frames(frames, change, task.target, on_step=on_step, quality=quality, disclose=disclose)
    photo = read_image(task.source)
    target = target_for(photo, task.target)
    check_fits(target, photo.width, photo.height)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_output(photo, target)
    picture = translate_photo(photo, net, config, on_step=on_step)
    return write_image(picture, target, quality=quality, disclose=disclose)


def translate_photo(photo: Photo, net: Any, config: TranslateConfig, *, on_step: _OnStep | None = None) -> Photo:
    """A photo through a translator; see `translate`."""
    has_alpha = photo.alpha is not None and float(photo.alpha.min()) < 1
    img = fill_transparent_colours(photo.img, photo.alpha) if has_alpha and photo.alpha is not None else photo.img
    img_out = run_translator(net, img, config, on_step=on_step)
    grey = None if not photo.grey else not _is_coloured(img_out)
    source = EDITED if config.strength else photo.digital_source
    img = photo.img.lerp(img_out, config.strength)
    return replace(photo.with_img(img, grey=grey), palette=None, digital_source=source)


def _is_coloured(img: Tensor) -> bool:
    return float((img.amax(dim=1) - img.amin(dim=1)).max()) > GREY_TOLERANCE


# ---------------------------------------------------------------------------------------------------------------------
# A picture through a network


@torch.no_grad()
def run_translator(net: Any, img: Tensor, config: TranslateConfig, *, on_step: _OnStep | None = None) -> Tensor:
    """What a translator makes of a picture of any size.

    Args:
        net: a translator of 1 or 3 channels on either side.
        img: [1, 3, H, W] in [-1, 1].
        config: see `TranslateConfig`; its strength plays no part here.
        on_step: as for `translate`.

    Returns:
        [1, 3, H, W] in [-1, 1], float32, on the CPU.

    Raises:
        BadImage: the network gives another size than it takes.
        GanvasError: not enough memory.
    """
    height, width = img.shape[2:]
    img = img if net.in_channels == 3 else _luma(img)
    fitting = pad_to_rules(img, net.size_rules).to(getattr(net, "device", "cpu"))
    with _eval_mode(net), _report_progress(net, on_step):
        img_out = _run(net, fitting, config)
    if img_out.shape[2:] != fitting.shape[2:]:
        raise BadImage(
            f"a translator must keep the size; {type(net).__name__} returned {list(img_out.shape)} for "
            f"{list(fitting.shape)}"
        )
    if on_step is not None:
        on_step(PROGRESS_STEPS, PROGRESS_STEPS)
    return crop_back(img_out, height, width).float().cpu().clamp(-1, 1).expand(-1, 3, -1, -1)


def _luma(img: Tensor) -> Tensor:
    red, green, blue = img.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _run(net: Any, img: Tensor, config: TranslateConfig) -> Tensor:
    strip_bytes = _strip_bytes(net, img, config)
    if strip_bytes is None:
        img_out = _none_if_out_of_memory(lambda: _whole(net, img, config.precision))
        if img_out is not None:
            return img_out
        if not getattr(net, "has_strips", False):
            raise GanvasError(
                f"out of memory for an image of {img.shape[3]} x {img.shape[2]} pixels, and this network "
                "cannot run in strips. Close other programs, or use a smaller image."
            )
        strip_bytes = MAX_STRIP_BYTES
    for share in STRIP_FRACTIONS:
        in_strips = functools.partial(net.in_strips, img, budget_bytes=share * strip_bytes, precision=config.precision)
        img_out = _none_if_out_of_memory(in_strips)
        if img_out is not None:
            return img_out
    raise GanvasError(_too_large(net, img))


def _whole(net: Any, img: Tensor, precision: str) -> Tensor:
    return net(img) if precision == "exact" else net(img, precision=precision)  # somebody's own may know no other


def _strip_bytes(net: Any, img: Tensor, config: TranslateConfig) -> float | None:
    """What the strips of a picture may take; None = it goes through whole."""
    pixels = img.shape[2] * img.shape[3]
    if not getattr(net, "has_strips", False) or (not config.tile and pixels <= MIN_PIXELS_FOR_STRIPS):
        return None
    if config.tile and max(img.shape[2:]) <= config.tile:
        return None
    each, _ = bytes_needed(net, pad_to_rules(img[:, :, :PROBE_PX, :PROBE_PX], net.size_rules))
    if config.tile:
        return each * config.tile**2
    free = free_bytes(img.device)
    if each * pixels <= min(MEMORY_FRACTION * free, MAX_TILE_BYTES):
        return None
    map_bytes = _map_bytes(net, img)
    if map_bytes > free:
        raise GanvasError(_too_large(net, img))
    return min(max((free - map_bytes) / 2, MIN_STRIP_BYTES), MAX_STRIP_BYTES)


def _map_bytes(net: Any, img: Tensor) -> float:
    return 4.0 * net.strips_need(img)[1]


def _too_large(net: Any, img: Tensor) -> str:
    return (
        f"an image of {img.shape[3]} x {img.shape[2]} pixels needs about "
        f"{_map_bytes(net, img) / 2**30:.1f} GiB with this network, and "
        f"{free_bytes(img.device) / 2**30:.1f} are free. Close other programs, use a smaller image, or "
        "precision 'fast', which needs half where it is faster."
    )


def _none_if_out_of_memory(work: Callable[[], Tensor]) -> Tensor | None:
    """The result, or None where there is not enough memory for it."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None  # outside the handler: the error holds on to the tensors that filled the memory


@contextlib.contextmanager
def _eval_mode(net: Any) -> Iterator[None]:
    """In eval mode inside: no dropout, no batch's statistics."""
    training = isinstance(net, nn.Module) and net.training
    if training:
        net.eval()
    try:
        yield
    finally:
        if training:
            net.train()


@contextlib.contextmanager
def _report_progress(net: Any, on_step: _OnStep | None) -> Iterator[None]:
    """The network tells how far it is within the picture."""
    if on_step is None or not hasattr(net, "on_progress"):
        yield
        return
    report = on_step
    net.on_progress = lambda share: report(min(int(share * PROGRESS_STEPS), PROGRESS_STEPS - 1), PROGRESS_STEPS)
    try:
        yield
    finally:
        net.on_progress = None


# ---------------------------------------------------------------------------------------------------------------------
# Which network

# How the files of a pair are named: by ganvas, by CycleGAN's `{epoch}_net_G_A.pth`, and by others.
_MARKS = {"AtoB": "AtoB", "A2B": "AtoB", "G_AB": "AtoB", "G_A": "AtoB"}
_MARKS |= {"BtoA": "BtoA", "B2A": "BtoA", "G_BA": "BtoA", "G_B": "BtoA"}
_OTHER = {"AtoB": "BtoA", "A2B": "B2A", "G_AB": "G_BA", "G_A": "G_B"}
_OTHER |= {there: here for here, there in _OTHER.items()}
_MARK = re.compile("|".join(sorted(_MARKS, key=len, reverse=True)))
_DISCRIMINATOR = re.compile(r"(^|_|net)D(_|$)")  # a discriminator
_SINGLE_GENERATOR = re.compile(r"(.*_)?net_G|model")  # pix2pix's `latest_net_G.pth`, and a model.safetensors
_WEIGHTS = (".safetensors", ".pth", ".pt")


def translator(model: Any, *, direction: str | None = None, statistics: str = "training") -> Any:
    """The network to translate with.

    Args:
        model: a catalogue name, a file, the folder of a training run (of ganvas, or the checkpoints of CycleGAN and
            pix2pix), or a network, which is taken as it is.
        direction: "AtoB" or "BtoA", where there is a pair; of a run between many domains, the one to go to.
        statistics: "training" or "picture"; see `translate`.

    Raises:
        BadConfig: it is no translator, or does not go in that direction.
        FetchError, WeightsError: the model is not here, or cannot be read.
    """
    check_known(statistics, STATISTICS, what="statistics")
    is_name = isinstance(model, (str, Path))
    if not is_name and direction is not None:
        raise BadConfig("a network object already has a direction; omit direction")
    net = load(weights_file(model, direction)) if is_name else model
    if not isinstance(net, Translator):
        what = getattr(net, "family", type(net).__name__)
        raise BadConfig(f"{what} is not a translator: translate needs a network such as vintage (ganvas models list)")
    for side, channels in (("takes", net.in_channels), ("makes", net.out_channels)):
        if channels not in (1, 3):
            raise BadConfig(f"a translator of photos needs 1 or 3 channels on either side, this one {side} {channels}")
    return with_picture_statistics(net) if statistics == "picture" else net  # type: ignore[type-var]


def weights_file(model: str | Path, direction: str | None) -> str | Path:
    """The file (or catalogue name) that goes in the direction.

    Raises:
        BadConfig: there is none that does.
    """
    path = Path(model).expanduser()
    domains = sorted(path.glob("to-*.safetensors")) if path.is_dir() else []
    if domains:
        return _to_domain(domains, direction)
    if direction is not None:
        check_known(direction, DIRECTIONS, what="direction")
    if path.is_dir():
        return _in_folder(path, direction)
    mark = _MARK.search(path.stem)
    if direction is None or (mark and _MARKS[mark[0]] == direction):
        return model
    if not mark or not path.exists():
        raise BadConfig(f"{model} has only one direction; omit direction")
    other = path.with_name(f"{path.stem[: mark.start()]}{_OTHER[mark[0]]}{path.stem[mark.end() :]}{path.suffix}")
    if not other.exists():
        raise BadConfig(f"{path} is for {_MARKS[mark[0]]}, and there is no {other.name} next to it for {direction}")
    return other


def _to_domain(files: Sequence[Path], domain: str | None) -> Path:
    """Of a run between many domains, the translator to one of them."""
    files_by_domain = {path.stem.removeprefix("to-"): path for path in files}
    if domain is None:
        raise BadConfig(f"this run translates to {', '.join(files_by_domain)}: choose one with --direction")
    check_known(domain, files_by_domain, what="domain")
    return files_by_domain[domain]


def _in_folder(folder: Path, direction: str | None) -> Path:
    """The latest translator of a folder, in the direction; without one, what there is, AtoB first."""
    files_by_direction: dict[str | None, list[Path]] = {}
    for path in folder.iterdir():
        mark = _MARK.search(path.stem)
        if (
            path.suffix in _WEIGHTS
            and not _DISCRIMINATOR.search(path.stem)
            and (mark or _SINGLE_GENERATOR.fullmatch(path.stem))
        ):
            files_by_direction.setdefault(_MARKS[mark[0]] if mark else None, []).append(path)
    ways = [direction] if direction is not None else [*DIRECTIONS, None]
    files = next((files_by_direction[way] for way in ways if way in files_by_direction), None)
    if files is None:
        there = ", ".join(sorted(path.name for paths in files_by_direction.values() for path in paths))
        raise BadConfig(
            f"{folder} contains no translator" + (f" for {direction}" if direction else "") + f"; there: "
            f"{there or 'nothing of the kind (AtoB.safetensors, latest_net_G_A.pth, latest_net_G.pth, …)'}"
        )
    return max(files, key=_latest)


def _latest(path: Path) -> tuple[bool, float, str]:
    """`latest_net_G_A` after any epoch's number, a name of ganvas's own before both."""
    number = re.match(r"\d+", path.stem)
    epoch = math.inf if path.stem.startswith("latest") else float(number[0]) if number else -1.0
    return path.suffix == ".safetensors", epoch, path.name
