"""What a network is, in 64 characters."""

import torch

import ganvas
from ganvas.weights.checkpoint import fingerprint


def test_better_previews_leave_the_network_what_it_is():
    torch.manual_seed(0)
    plain = ganvas.build("mobilestylegan", channels=(16, 16, 8), w_dim=8, z_dim=8)
    headed = ganvas.build("mobilestylegan", channels=(16, 16, 8), w_dim=8, z_dim=8, heads=(8,))
    headed.load_state_dict(plain.state_dict(), strict=False)
    assert fingerprint(headed) == fingerprint(plain)
    headed.heads["8"].requires_grad_(False)
    for parameter in headed.heads.parameters():
        parameter.add_(1)
    assert fingerprint(headed) == fingerprint(plain)
    with torch.no_grad():
        headed.const.add_(1)
    assert fingerprint(headed) != fingerprint(plain)
