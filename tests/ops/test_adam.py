import torch

from ganvas.ops.adam import SearchAdam

BETAS = (0.9, 0.99)


def test_it_moves_as_torch_does_bit_for_bit():
    rng = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=rng) for shape in ((3, 5), (7,), (2, 3, 3, 3))]
    start[2] = start[2].contiguous(memory_format=torch.channels_last)
    ours, theirs = ([p.clone().requires_grad_() for p in start] for _ in range(2))
    searching = SearchAdam([{"params": [p], "lr": 0.0} for p in ours], betas=BETAS)
    training = torch.optim.Adam([{"params": [p], "lr": 0.0} for p in theirs], betas=BETAS, foreach=False)
    for step in range(12):
        for one in (searching, training):
            one.zero_grad()
            for number, group in enumerate(one.param_groups):
                group["lr"] = 0.01 * (step + 1) / (number + 1)
                p = group["params"][0]
                if (step + number) % 4:  # a parameter without a gradient stays, and its steps are not counted
                    (p.sin() * (step + 1)).square().sum().backward()
            one.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
