"""Drag: pull points of a picture to places; the generator paints a picture in which they are there.

Each step looks at the features of one size on the way to the picture, in two turns:

- *tracking*: each handle is searched near its last position, by its features in the image before the drag;
- *motion supervision*: the patch around each handle should appear a little closer to its target; the gradient of that
  moves the latent.

Paper: Pan et al. 2023, "Drag Your GAN: Interactive Point-based Manipulation on the Generative Image Manifold", section
3.2. Written from the paper, with differences of ours:

- The latent moves in units of its natural spread (offset = u · C^½, C the covariance of natural w), not of its numbers.
  On the same tasks this takes a third of the steps, and keeps colours and faces where the paper's steps wash them out.
- Features are sampled between their pixels and never enlarged; a patch around a handle is matched, not one pixel, and
  its place is refined by a parabola. So it works at 64 px and below, where a radius in whole pixels would be empty.
- What still does not work: generators whose features repeat in a pattern of every second pixel (transposed
  convolutions, so DCGAN) fool the tracker; in one trained for half an hour the points did not arrive.
- A drag that loses its points goes back to where it was best and takes smaller steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_mask, check_ws
from ganvas.editing.discovery.sefa import sample_w
from ganvas.editing.mix import decode_latent, encode_latent
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig, BadLatent, BadMask, Stopped
from ganvas.fields import check_settings, setting
from ganvas.ops.adam import SearchAdam

OnDrag = Callable[[int, int, Tensor, Tensor], bool | None]

MAX_POINTS = 16
SPREAD_SAMPLES = 2048  # natural latents whose spread is measured
ADAM_BETAS = (0.9, 0.99)
MAX_LR = 0.1  # natural standard deviations that one number moves in a step
# Lengths in pixels of the features. One of them is four pixels of a picture of 256.
GRID_STEP_PX = 0.5  # between two places that are looked at
PATCH_RADIUS_PX = 1.0  # radius of what makes a handle known again
TRACK_RADIUS_PX = 2.0  # how far it may have moved in one step
LOST_MARGIN_PX = 1.5  # farther from the target than it has been by so much: the drag has lost it
MAX_RETRIES = 3  # returns to the best place, with half the step each time


@dataclass(frozen=True, kw_only=True)
class DragConfig:
    """How a drag goes. Distances are in pixels of a picture of `px`."""

    px: int = setting(256, ge=1, unit="px", help="size of the picture, at most the generator's own")
    feature_px: int | None = setting(
        None, unit="px", help="size of the features; none = a quarter of px, between 32 and 64"
    )
    stop_px: float = setting(1.0, gt=0, unit="px", help="a handle this near to its target has arrived")
    steps: int = setting(80, ge=1, help="at most so many")
    stride: float = setting(0.64, gt=0, unit="standard deviations of the latent", help="length of a step")
    rows: int | None = setting(
        None, help="how many rows of ws move; none = the first third, at least 6: those of shape"
    )
    radius: float = setting(1.5, gt=0, unit="px of the features", help="of the patch that is moved")
    jump: float = setting(1.0, gt=0, unit="px of the features", help="how far ahead it looks")
    keep: float = setting(2.0, ge=0, help="weight of what shall not change outside a mask; with 20 few points arrive")

    def __post_init__(self) -> None:
        check_settings(self, who="drag")


@dataclass(frozen=True, kw_only=True)
class Drag:
    """A drag that was done: what it was asked, and how it moved the latent.

    Points are (x, y) in sides of the crop. `offset` is what is added to the first `rows` rows of ws, as
    `ganvas.editing.mix.encode_latent` writes it: so it is replayed at once and to the bit. On another photo, or after
    another step before it, the same offset is added; nothing is searched again (pull the points anew for that).
    """

    name: ClassVar[str] = "drag"
    points: tuple[tuple[float, float], ...] = setting(help="[[x, y], …] in sides of the crop, 0 to 1")
    targets: tuple[tuple[float, float], ...] = setting(help="where they shall go, likewise")
    rows: int = setting(ge=1, le=100, help="how many rows of ws move")
    offset: str = setting(repr=False, help="what is added to them: base64 of float16 numbers")

    def __post_init__(self) -> None:
        for name in ("points", "targets"):
            object.__setattr__(self, name, _pairs(getattr(self, name), what=f"drag's {name}"))
        _check_counts(len(self.points), len(self.targets))
        check_settings(self, who=self.name)
        decode_latent(self.offset, what="drag's offset")

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """See `LatentStep`."""
        flat, (rows, w_dim) = decode_latent(self.offset, what="drag's offset"), ws.shape[1:]
        if self.rows > rows or len(flat) not in (w_dim, self.rows * w_dim):
            raise BadLatent(
                f"this drag moves {self.rows} rows of ws with {len(flat)} numbers, the generator's ws is "
                f"{[rows, w_dim]}: it was done with another"
            )
        moved = ws.clone()
        moved[:, : self.rows] += flat.view(1, -1, w_dim).to(ws)
        return moved


class DragResult(NamedTuple):
    """What a drag came to."""

    step: Drag
    points: Tensor  # [P, 2] where the handles are now, in the caller's pixels
    distance_px: float  # mean distance to the targets, by the tracker, in pixels of a picture of DragConfig.px
    steps: int
    arrived: bool  # False: stopped, or out of steps


def drag(
    ws: Tensor,
    generator: Any,
    points: Tensor | Sequence[Sequence[float]],
    targets: Tensor | Sequence[Sequence[float]],
    *,
    mask: Tensor | None = None,
    spread: Tensor | None = None,
    config: DragConfig | None = None,
    on_step: OnDrag | None = None,
) -> DragResult:
    """Move the latent until the points of its picture lie on the targets.

    Args:
        ws: [1, num_ws, w_dim], of the picture.
        generator: one with feature maps (all but "mlp"); it is not changed.
        points: [P, 2] handles, (x, y) in pixels of the generator's picture; up to 16.
        targets: [P, 2], the target of each handle.
        mask: [1, 1, S, S] in [0, 1], of any size: where the picture may change; None = anywhere.
        spread: of natural latents, from `latent_spread`, if the caller has it.
        config: how; None = the defaults.
        on_step: called before the first step and after each with (step, steps at most, picture so far [1, C, px, px],
            points [P, 2] so far). Returning True stops: what was reached is the result. Raising `Stopped` stops as
            well: the error leaves `drag` with what was reached as its `state`.

    Returns:
        The step to apply, and how far it came.

    Raises:
        BadConfig: a family without feature maps, too many points, or not as many targets.
        BadMask: points outside the picture, or a mask of another shape. BadLatent: ws of another generator.
        Stopped: raised by on_step.
    """
    check_ws(ws, who="drag", num_ws=generator.num_ws, w_dim=generator.w_dim)
    if len(ws) != 1:
        raise BadLatent(f"drag expects the ws of one image, [1, num_ws, w_dim], got {list(ws.shape)}")
    places = [_places(one, generator, what) for one, what in ((points, "points"), (targets, "targets"))]
    _check_counts(len(places[0]), len(places[1]))
    config = config or DragConfig()
    run = _DragRun(ws, generator, places[0], places[1], mask=mask, spread=spread, config=config)
    return run.run(on_step)


def latent_spread(generator: Any, *, samples: int = SPREAD_SAMPLES) -> Tensor:
    """[w_dim, w_dim], C^½: how far, and in which directions, natural latents of a generator lie apart.

    A family without a mapping network has ws = z, where it is the identity; what stands behind z, the label, has none.
    """
    if generator.num_ws == 1:
        return torch.diag((torch.arange(generator.w_dim) < generator.z_dim).float()).to(generator.device)
    w = sample_w(generator, samples)
    variance, axes = torch.linalg.eigh(w.cpu().double().T.cov())
    return ((axes * variance.clamp(min=0).sqrt()) @ axes.T).to(w)


def feature_px_of(generator: Any, px: int) -> int:
    """The size of the features in which a picture of `px` is dragged.

    Raises:
        BadConfig: the family has no feature maps.
    """
    sizes = getattr(generator, "feature_sizes", ())
    if not sizes:
        family = getattr(generator, "family", type(generator).__name__)
        raise BadConfig(f"{family} has no feature maps, so it cannot be dragged; all other families can")
    wanted = min(max(px // 4, 32), 64, max(px // 2, sizes[0]))
    return max(size for size in sizes if size <= wanted)


class _DragRun:
    """One drag while it runs; everything in pixels of the features."""

    def __init__(
        self,
        ws: Tensor,
        generator: Any,
        points: Tensor,
        targets: Tensor,
        *,
        mask: Tensor | None,
        spread: Tensor | None,
        config: DragConfig,
    ):
        self.ws, self.generator = ws.detach(), generator
        self.picture_px = min(config.px, generator.img_resolution)
        self.px = config.feature_px or feature_px_of(generator, self.picture_px)
        self.config = replace(config, px=self.picture_px)
        self.rows = min(generator.num_ws, config.rows or max(6, round(generator.num_ws / 3)))
        self.spread = latent_spread(generator) if spread is None else spread
        self.request = points, targets
        self.points, self.targets = (one.to(ws.device) * self.px for one in (points, targets))
        self.stop = config.stop_px * self.px / self.picture_px
        with torch.no_grad():
            self.first = self._features(self.ws)  # before the drag
        self.frozen = None if mask is None else 1 - _resize_mask(mask, self.px).to(self.first)
        self.tracker = Tracker(self.first, self.points)
        self.patch = disc(config.radius).to(ws.device)

    def run(self, on_step: OnDrag | None) -> DragResult:
        """Until all handles have arrived, the steps are used up, or on_step stops it."""
        here = best = self._state_at(
            torch.zeros(self.rows, self.ws.shape[2], device=self.ws.device), self.points, step=0
        )
        # Adam moves every number by about lr, so few numbers take larger ones for a step of the same length.
        lr, retries = min(self.config.stride / here.u.numel() ** 0.5, MAX_LR), 0
        adam = _adam(here, lr)
        try:
            while not (self._report(on_step, here) or here.arrived or here.step == self.config.steps):
                if here.distance > best.distance + LOST_MARGIN_PX:
                    if retries == MAX_RETRIES:
                        break
                    lr, retries = lr / 2, retries + 1
                    here = self._state_at(best.u.detach().clone(), best.points, step=here.step)
                    adam = _adam(here, lr)
                here = self._step(here, adam)
                if here.arrived or here.distance < best.distance:
                    best = here._replace(u=here.u.detach().clone())
        except Stopped as stopped:
            stopped.state = self._result(best, here.step)
            raise
        return self._result(best, here.step)

    def _state_at(self, u: Tensor, points: Tensor, *, step: int) -> _DragState:
        """u [rows, w_dim], in natural standard deviations; the handles are known."""
        u = u.requires_grad_()
        left = (self.targets - points).norm(dim=1)
        arrived = bool((left <= self.stop).all())
        return _DragState(step, u, self._features(self._move_ws(u)), points, float(left.mean()), arrived)

    def _step(self, here: _DragState, adam: SearchAdam) -> _DragState:
        """One step: pull, then look where the handles are."""
        adam.zero_grad()
        self._loss(here.x, here.points).backward()
        adam.step()
        x = self._features(self._move_ws(here.u))
        points = self.tracker.find(x.detach(), here.points)
        left = (self.targets - points).norm(dim=1)
        arrived = bool((left <= self.stop).all())
        return _DragState(here.step + 1, here.u, x, points, float(left.mean()), arrived)

    def _move_ws(self, u: Tensor) -> Tensor:
        """The latent, whole: [1, num_ws, w_dim]."""
        return torch.cat([self.ws[:, : self.rows] + u @ self.spread, self.ws[:, self.rows :]], dim=1)

    def _features(self, ws: Tensor) -> Tensor:
        return self.generator.features(ws, self.px, precision="fast").float()

    def _loss(self, x: Tensor, points: Tensor) -> Tensor:
        """Motion supervision, equation 1 of the paper: Σ ‖F(q + d) − F(q)‖₁ over the patch, + λ ‖(F − F₀)(1 − M)‖₁."""
        way = self.targets - points
        ahead = way * (self.config.jump / way.norm(dim=1, keepdim=True).clamp(min=self.config.jump))
        here = points[:, None] + self.patch  # [P, Q, 2]
        now = sample_features(x.detach(), here)
        loss = (sample_features(x, here + ahead[:, None]) - now).abs().mean(dim=(1, 2)).sum()
        if self.frozen is not None:
            loss = loss + self.config.keep * ((x - self.first).abs() * self.frozen).mean()
        return loss

    @torch.no_grad()
    def _report(self, on_step: OnDrag | None, here: _DragState) -> bool:
        if on_step is None:
            return False
        img = preview_image(self.generator, self._move_ws(here.u), self.picture_px)
        return bool(on_step(here.step, self.config.steps, img, self._to_picture_px(here.points)))

    def _to_picture_px(self, points: Tensor) -> Tensor:
        return points.cpu() * (self.generator.img_resolution / self.px)

    @torch.no_grad()
    def _result(self, best: _DragState, steps: int) -> DragResult:
        handles, targets = ([(round(x, 5), round(y, 5)) for x, y in one.tolist()] for one in self.request)
        offset = encode_latent((best.u @ self.spread)[None])
        step = Drag(points=tuple(handles), targets=tuple(targets), rows=self.rows, offset=offset)
        distance_px = best.distance * self.picture_px / self.px
        return DragResult(step, self._to_picture_px(best.points), distance_px, steps, best.arrived)


class _DragState(NamedTuple):
    """Where a drag stands after some steps."""

    step: int
    u: Tensor  # [rows, w_dim]
    x: Tensor  # features
    points: Tensor
    distance: float  # mean distance to the targets
    arrived: bool  # all of them


def _adam(here: _DragState, lr: float) -> SearchAdam:
    return SearchAdam([{"params": [here.u], "lr": lr}], betas=ADAM_BETAS)


def preview_image(generator: Any, ws: Tensor, px: int) -> Tensor:
    """The picture at any size up to the generator's, quickly; no early exit: those wash moved faces out."""
    img: Tensor = generator.synthesize_downscaled(ws, px, precision="fast")
    return img.float().clamp(-1, 1)


class Tracker:
    """Finds points again in changed features, by how the patch around them looked at first.

    Args:
        x: [1, C, h, h] the features before.
        points: [P, 2] in pixels of the features.
        reach: how far from where it was last seen a point is looked for.
    """

    def __init__(self, x: Tensor, points: Tensor, *, reach: float = TRACK_RADIUS_PX):
        self.patch = disc(PATCH_RADIUS_PX, 1.0).to(points)
        line = torch.arange(-round(reach / GRID_STEP_PX), round(reach / GRID_STEP_PX) + 1).to(points) * GRID_STEP_PX
        self.window = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)  # [K, K, 2] as (x, y)
        self.reference = sample_features(x, points[:, None] + self.patch)  # [P, Q, C]

    def find(self, x: Tensor, points: Tensor) -> Tensor:
        """Where they are now: [P, 2] → [P, 2], between the pixels, within the picture."""
        positions = []
        for point, reference in zip(points, self.reference, strict=True):
            candidates = sample_features(x, (point + self.window)[:, :, None] + self.patch)  # [K, K, Q, C]
            positions.append(point + self._nearest((candidates - reference).square().mean(dim=(2, 3))))
        return torch.stack(positions).clamp(0, x.shape[-1])

    def _nearest(self, distance: Tensor) -> Tensor:
        """The place [2] in the window at which the distance [K, K] is least."""
        row, column = divmod(int(distance.argmin()), distance.shape[1])
        between = distance.new_tensor([_lowest(distance[row], column), _lowest(distance[:, column], row)])
        return self.window[row, column] + GRID_STEP_PX * between


def _lowest(line: Tensor, i: int) -> float:
    """Where between its neighbours a minimum lies, −½ … ½: that of the parabola through the three."""
    if not 0 < i < len(line) - 1:
        return 0.0
    before, here, after = line[i - 1 : i + 2].tolist()
    bend = before - 2 * here + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend > 1e-12 else 0.0


def sample_features(x: Tensor, places: Tensor) -> Tensor:
    """Features between their pixels: x [1, C, h, h], places [..., 2] as (x, y) in pixels → [..., C]."""
    grid = places.reshape(1, 1, -1, 2).to(x) * (2 / x.shape[-1]) - 1
    flat = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)  # [1, C, 1, n]
    return flat[0, :, 0].T.reshape(*places.shape[:-1], x.shape[1])


def disc(radius: float, grain: float = GRID_STEP_PX) -> Tensor:
    """[Q, 2]: places at most `radius` from the middle, on a grid of `grain`; the middle is always one of them."""
    line = torch.arange(-int(radius / grain), int(radius / grain) + 1) * grain
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2)
    return grid[grid.norm(dim=1) <= radius + 1e-6]


def _resize_mask(mask: Tensor, px: int) -> Tensor:
    check_mask(mask, who="drag", height=mask.shape[-1], width=mask.shape[-1])
    return F.interpolate(mask.float(), (px, px), mode="area")


def _places(points: Tensor | Sequence[Sequence[float]], generator: Any, what: str) -> Tensor:
    """[P, 2] in pixels → in sides of the picture."""
    table = torch.as_tensor(points, dtype=torch.float32)
    if table.ndim != 2 or table.shape[1] != 2 or not table.isfinite().all():
        raise BadMask(f"drag's {what} must be [P, 2], (x, y) in pixels of the image, got {list(table.shape)}")
    size = generator.img_resolution
    if ((table < 0) | (table > size)).any():
        raise BadMask(f"drag's {what} must lie in the image of {size} x {size} pixels, got {table.tolist()}")
    return table / size


def _pairs(points: Any, *, what: str) -> tuple[tuple[float, float], ...]:
    try:
        pairs = tuple((float(x), float(y)) for x, y in points)
    except (TypeError, ValueError) as error:
        raise BadConfig(f"{what} are written as [[x, y], …], got {str(points)[:80]} ({error})") from error
    if not all(0 <= number <= 1 for pair in pairs for number in pair):
        raise BadConfig(f"{what} must be in units of the crop's side, 0 to 1, got {str(pairs)[:80]}")
    return pairs


def _check_counts(points: int, targets: int) -> None:
    if not 1 <= points <= MAX_POINTS or points != targets:
        raise BadConfig(f"a drag has 1 to {MAX_POINTS} points and as many targets, got {points} and {targets}")
