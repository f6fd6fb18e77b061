"""Dragging, measured with a ruler on a generator whose blobs lie where its latent says."""

import pytest
import torch

import ganvas
from ganvas.editing.directions import Direction
from ganvas.editing.drag import Drag, DragConfig, Tracker, disc, drag, feature_px_of, latent_spread, sample_features
from ganvas.editing.mix import encode_latent
from ganvas.editing.recipe import Recipe
from ganvas.editing.step import EditContext
from ganvas.errors import BadConfig, BadLatent, BadMask, Stopped
from tests.editing.blob import Blobs

BENCH = EditContext(None, {}.__getitem__)


def start(G, seed=0):
    return G.mapping(0.3 * torch.randn(1, 6, generator=torch.Generator().manual_seed(seed)))


def where(G, ws, blob):
    return G.centres(ws)[0, blob] * G.img_resolution


@pytest.mark.parametrize("px", [32, 64, 128, 256])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_blob_is_pulled_to_its_target(px, seed):
    """By the ruler, not by the tracker; at 32 px a pixel of the features is two of the picture."""
    G = Blobs(px)
    ws = start(G, seed)
    handle = where(G, ws, 0)[None]
    angle = torch.tensor(2.0 * seed + 1)
    target = handle + 0.12 * px * torch.stack([angle.cos(), angle.sin()])
    found = drag(ws, G, handle, target, config=DragConfig(px=px, stride=0.08, stop_px=0.5))
    moved = found.step.apply(ws, BENCH)
    assert found.arrived
    assert found.distance_px <= 0.5
    assert (where(G, moved, 0) - target[0]).norm() < 1
    assert (where(G, ws, 0) - target[0]).norm() == pytest.approx(0.12 * px, rel=1e-3)


def test_two_points_go_two_ways():
    G = Blobs(64)
    ws = start(G)
    handles = torch.stack([where(G, ws, 0), where(G, ws, 1)])
    targets = handles + torch.tensor([[5.0, 0.0], [1.0, -4.0]])
    found = drag(ws, G, handles, targets, config=DragConfig(stride=0.08, steps=200))
    moved = found.step.apply(ws, BENCH)
    assert found.arrived
    for blob in (0, 1):
        assert (where(G, moved, blob) - targets[blob]).norm() < 1.5


def test_what_is_masked_stays_more_where_it_was():
    """The second blob can move with the others, or stay behind: asked to stay, it does."""
    G = Blobs(64)
    ws = start(G)
    handle = where(G, ws, 0)[None]
    mask = torch.ones(1, 1, 64, 64)
    x, y = where(G, ws, 1).round().int().tolist()
    mask[:, :, y - 8 : y + 9, x - 8 : x + 9] = 0
    gone = []
    for one in (None, mask):
        found = drag(
            ws, G, handle, handle + torch.tensor([5.0, 2.0]), mask=one, config=DragConfig(stride=0.08, steps=200)
        )
        assert found.distance_px < 1.5
        gone.append((where(G, found.step.apply(ws, BENCH), 1) - where(G, ws, 1)).norm().item())
    assert gone[1] < 0.7 * gone[0]


def test_it_stops_when_asked_and_keeps_what_was_reached():
    G = Blobs(64)
    ws, seen = start(G), []
    handle = where(G, ws, 0)[None]

    def stop_at_four(step, total, img, points):
        seen.append((step, total, img.shape, points[0].tolist()))
        return step == 4

    found = drag(ws, G, handle, handle + 6, config=DragConfig(stride=0.08), on_step=stop_at_four)
    assert [step for step, *_ in seen] == [0, 1, 2, 3, 4]
    assert {total for _, total, *_ in seen} == {DragConfig().steps}
    assert {shape for *_, shape, _ in seen} == {(1, 3, 64, 64)}
    assert seen[0][3] == pytest.approx(handle[0].tolist(), abs=1e-4)
    assert found.steps == 4 and not found.arrived
    moved = where(G, found.step.apply(ws, BENCH), 0) - where(G, ws, 0)
    assert 0.3 < moved.norm() < 8


def test_a_cancelled_drag_carries_what_it_had():
    G = Blobs(64)
    ws = start(G)
    handle = where(G, ws, 0)[None]

    def cancel(step, total, img, points):
        if step == 3:
            raise Stopped("enough")

    with pytest.raises(Stopped) as stopped:
        drag(ws, G, handle, handle + 6, config=DragConfig(stride=0.08), on_step=cancel)
    assert stopped.value.state.steps == 3
    assert isinstance(stopped.value.state.step, Drag)


def test_the_same_drag_is_the_same_to_the_bit():
    G = Blobs(64)
    ws = start(G)
    handle = where(G, ws, 0)[None]
    first, second = (drag(ws, G, handle, handle + 4).step for _ in range(2))
    assert first == second


def test_where_nothing_can_follow_the_drag_ends_and_says_so():
    """The picture cannot turn over: the handle and another point of the same blob cannot change places."""
    G = Blobs(64)
    ws = start(G)
    handles = torch.stack([where(G, ws, 0), where(G, ws, 2)])
    found = drag(ws, G, handles, handles.flip(0), config=DragConfig(stride=0.08, steps=40))
    assert not found.arrived
    assert found.distance_px <= (handles[0] - handles[1]).norm().item() + 0.01  # never worse than at the beginning


FAMILIES = {
    "stylegan2": {"img_resolution": 16, "z_dim": 16, "w_dim": 24, "channel_base": 128, "num_mapping_layers": 2},
    "stylegan3": {
        "img_resolution": 16,
        "z_dim": 16,
        "w_dim": 24,
        "channel_base": 128,
        "channel_max": 16,
        "num_layers": 6,
        "margin_size": 4,
    },
    "mobilestylegan": {"z_dim": 16, "w_dim": 24, "num_mapping_layers": 2, "channels": (16, 12, 8)},
    "dcgan": {"img_resolution": 32, "z_dim": 16, "ngf": 8},
    "r3gan": {"img_resolution": 16, "z_dim": 16, "widths": (32, 16, 16), "blocks": (1, 1, 1), "c_dim": 2},
    "fastgan": {"img_resolution": 64, "z_dim": 16, "ngf": 4},
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_with_features_can_be_dragged(family):
    """Untrained ones go wherever they go; the step must do what the drag saw, and move only what it may."""
    torch.manual_seed(0)
    G = ganvas.build(family, **FAMILIES[family]).eval().requires_grad_(False)
    label = torch.eye(2)[:1] if G.c_dim else None
    ws = G.mapping(torch.randn(1, G.z_dim), label)
    px = G.img_resolution
    seen = []
    found = drag(
        ws,
        G,
        [[px / 2, px / 2]],
        [[px / 2 + 2, px / 2]],
        config=DragConfig(steps=4, stop_px=0.01),
        on_step=lambda step, total, img, points: seen.append(img),
    )
    assert 1 <= found.steps <= 4 and len(seen) == found.steps + 1
    moved = found.step.apply(ws, BENCH)
    rows = found.step.rows
    assert rows == min(G.num_ws, 6)
    assert torch.equal(moved[:, rows:], ws[:, rows:])
    if G.c_dim:
        assert torch.equal(moved[:, :, G.z_dim :], ws[:, :, G.z_dim :]), "the label is not dragged"
    assert not torch.equal(moved, ws)


def test_a_family_without_maps_says_so():
    G = ganvas.build("mlp", img_resolution=8, z_dim=16, widths=(32,)).eval()
    with pytest.raises(BadConfig, match="mlp has no feature maps"):
        drag(G.mapping(torch.randn(1, 16)), G, [[1, 1]], [[2, 2]])


def test_the_features_fit_the_picture():
    G = Blobs(1024)
    assert [feature_px_of(G, px) for px in (16, 32, 64, 128, 256, 512, 1024)] == [8, 16, 32, 32, 64, 64, 64]


def test_the_spread_is_the_root_of_the_covariance():
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", **FAMILIES["stylegan2"]).eval()
    w = G.mapping(torch.randn(20_000, 16))[:, 0]
    root = latent_spread(G, samples=20_000)
    assert torch.allclose(root @ root, w.T.cov(), atol=0.05 * w.T.cov().abs().max().item())
    assert torch.allclose(root, root.T, atol=1e-5)


def test_a_disc_is_never_empty():
    for radius in (0.1, 0.5, 1.0, 1.5):
        assert (disc(radius) == 0).all(dim=1).any()
        assert disc(radius).norm(dim=1).max() <= radius + 1e-6
    assert len(disc(1.0)) == 13  # on a grid of one half: 1 + 4 + 4 + 4


def test_features_are_sampled_between_pixels():
    x = torch.arange(8.0).expand(1, 1, 8, 8)  # at pixel i, whose middle is i + 0.5, it is i
    places = torch.tensor([[0.5, 4.0], [3.0, 2.2], [7.5, 0.5]])
    assert torch.allclose(sample_features(x, places)[:, 0], torch.tensor([0.0, 2.5, 7.0]), atol=1e-5)


def test_the_tracker_sees_a_quarter_of_a_pixel():
    G = Blobs(64)
    ws = start(G)
    tracker = Tracker(G.features(ws, 32), where(G, ws, 0)[None] / 2)
    with torch.no_grad():
        for step in (0.1, 0.2, 0.3, 0.4):
            moved = ws.clone()
            moved[:, :, 0] += step
            found = tracker.find(G.features(moved, 32), where(G, ws, 0)[None] / 2)
            assert (found[0] - where(G, moved, 0) / 2).norm() < 0.1


def test_what_does_not_fit_is_refused():
    G = Blobs(64)
    ws = start(G)
    for points, targets, error, says in (
        ([[1, 2]], [[1, 2], [3, 4]], BadConfig, "as many targets, got 1 and 2"),
        ([[1, 2]] * 17, [[1, 2]] * 17, BadConfig, "1 to 16 points"),
        ([[1, 2, 3]], [[1, 2, 3]], BadMask, r"\[P, 2\]"),
        ([[1, 2]], [[1, 65]], BadMask, "targets must lie in the image of 64 x 64"),
        ([[-1, 2]], [[1, 5]], BadMask, "points must lie in the image"),
        ([[float("nan"), 2]], [[1, 5]], BadMask, "points must be"),
    ):
        with pytest.raises(error, match=says):
            drag(ws, G, points, targets)
    with pytest.raises(BadLatent, match="one image"):
        drag(ws.repeat(2, 1, 1), G, [[1, 2]], [[3, 4]])
    with pytest.raises(BadMask, match="drag"):
        drag(ws, G, [[1, 2]], [[3, 4]], mask=torch.full((1, 1, 64, 64), 7.0))
    with pytest.raises(BadConfig, match="radius must be a number above 0"):
        DragConfig(radius=0)


def a_step(**fields):
    given = {"points": [[0.4, 0.5]], "targets": [[0.5, 0.5]], "rows": 2, "offset": encode_latent(torch.randn(1, 2, 8))}
    return {"step": "drag", **given, **fields}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"points": []}, "1 to 16"),
        ({"points": [[0.1, 0.1]] * 17, "targets": [[0.1, 0.1]] * 17}, "1 to 16"),
        ({"points": "ab"}, r"\[\[x, y\], …\]"),
        ({"points": [[0.1, 2]]}, "units of the crop's side"),
        ({"targets": [[0.1, float("nan")]]}, "units of the crop's side"),
        ({"rows": 0}, "from 1 to 100"),
        ({"rows": True}, "from 1 to 100"),
        ({"offset": 3}, "offset must be text"),
        ({"offset": "kitten!"}, "drag's offset must be base64"),
        ({"offset": ""}, "is empty"),
        ({"offset": "A" * 400_000}, "drag's offset must be base64"),
    ],
)
def test_a_broken_drag_is_refused_with_the_reason(fields, says):
    import json

    with pytest.raises(BadConfig, match=says):
        Recipe.from_json(json.dumps({"format": "ganvas-recipe-1", "steps": [a_step(**fields)]}))


def test_a_drag_moves_its_rows_by_its_offset():
    offset = torch.randn(1, 2, 8).half().float()
    ws = torch.randn(3, 5, 8)
    step = Drag(points=[(0.4, 0.5)], targets=[(0.5, 0.5)], rows=2, offset=encode_latent(offset))
    moved = step.apply(ws, EditContext(None, {"x": Direction("x", torch.ones(1, 8))}.__getitem__))
    assert torch.equal(moved[:, :2], ws[:, :2] + offset)
    assert torch.equal(moved[:, 2:], ws[:, 2:])
    for other in (torch.randn(1, 5, 7), torch.randn(1, 1, 8)):
        with pytest.raises(BadLatent, match="done with another"):
            step.apply(other, BENCH)
