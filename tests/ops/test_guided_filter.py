"""The guided filter against the paper's windows written out, and what it is for."""

import torch

from ganvas.ops.guided_filter import FIT_PX, filter_guided


def slow_filter(p, guide, radius, eps):
    """He et al. 2010, eq. 14 to 16, one window at a time."""
    height, width = p.shape
    lines = {}
    for y in range(height):
        for x in range(width):
            window = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
            colours, values = guide[(slice(None), *window)].flatten(1).T, p[window].flatten()
            spread = torch.cov(colours.T, correction=0) + eps * torch.eye(3)
            cross = (colours * values[:, None]).mean(dim=0) - colours.mean(dim=0) * values.mean()
            a = torch.linalg.solve(spread, cross)
            lines[y, x] = a, values.mean() - a @ colours.mean(dim=0)
    out = torch.empty_like(p)
    for y in range(height):
        for x in range(width):
            near = [lines[i, j] for i, j in lines if abs(i - y) <= radius and abs(j - x) <= radius]
            a, b = (torch.stack([line[k] for line in near]).mean(dim=0) for k in (0, 1))
            out[y, x] = a @ guide[:, y, x] + b
    return out


def test_it_is_the_filter_of_the_paper():
    rng = torch.Generator().manual_seed(0)
    p, guide = (torch.rand(n, 7, 9, generator=rng, dtype=torch.float64) for n in (2, 3))
    ours = filter_guided(p[None], guide[None], radius_px=2, eps=0.01)[0]
    for mine, one in zip(ours, p, strict=True):
        assert torch.allclose(mine, slow_filter(one, guide, 2, 0.01), atol=1e-9)


def test_a_rough_mask_takes_the_edge_of_the_picture():
    guide = torch.full((1, 3, 64, 64), 0.2)
    guide[..., 30:] = 0.7  # the edge; the mask has its own four pixels too far to the left
    rough = torch.zeros(1, 1, 64, 64)
    rough[..., 26:] = 1
    fine = filter_guided(rough, guide, radius_px=8, eps=1e-5)
    steps = (fine[..., 1:] - fine[..., :-1])[0, 0, 32]
    assert steps.argmax() == 29 and steps[29] > 0.2  # between columns 29 and 30
    assert steps[25].abs() < 0.1  # where the mask had its own


def test_a_large_picture_gets_its_lines_from_a_small_one():
    rng = torch.Generator().manual_seed(0)
    guide = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=rng), (2 * FIT_PX, 2 * FIT_PX))
    p = (guide.mean(dim=1, keepdim=True) > 0.5).float()
    fine = filter_guided(p, guide, radius_px=6, eps=1e-4)
    assert fine.shape == p.shape and (fine - p).abs().mean() < 0.02


def test_what_sums_to_one_does_so_afterwards():
    rng = torch.Generator().manual_seed(0)
    p = torch.rand(2, 5, 20, 30, generator=rng).softmax(dim=1)
    fine = filter_guided(p, torch.rand(2, 3, 20, 30, generator=rng), radius_px=3, eps=1e-3)
    assert torch.allclose(fine.sum(dim=1), torch.ones(2, 20, 30), atol=1e-4)
