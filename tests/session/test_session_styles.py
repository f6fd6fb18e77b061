"""Style channels in a session: directions of space "s" move a photo as others do."""

import torch

from ganvas.editing.directions import Direction
from ganvas.editing.drag import DragConfig
from ganvas.editing.style_space import style_slices, styles_of

from .test_session import found, photo, session  # noqa: F401


def test_a_direction_of_style_channels_paints_what_its_twin_in_w_paints(session, generator):  # noqa: F811
    """The shift of styles that a move of w means, as a direction of its own."""
    ws, step = session.inversion.ws, torch.randn(1, 16, generator=torch.Generator().manual_seed(5))
    shift = styles_of(ws + step, generator) - styles_of(ws, generator)
    total = style_slices(generator)[-1][1].stop
    assert shift.shape == (1, total)
    session.directions.update(w=Direction("w", step), s=Direction("s", shift, space="s"))
    pictures = []
    for name in "ws":
        session.set(name, 1.0)
        pictures.append((session.preview(resolution=32), session.render().img, session.render_crop().img))
        session.undo()
    for ours, theirs in zip(*pictures, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)
    assert torch.equal(session.render().img, session.photo.img)
    session.set("s", 2.0)
    assert not torch.allclose(session.preview(resolution=32), pictures[1][0], atol=1e-3)


def test_what_is_painted_while_a_drag_runs_is_what_it_was_before(session, generator):  # noqa: F811
    """A drag paints with shifted styles; previews of the same session meanwhile are shifted once, not twice."""
    total = style_slices(generator)[-1][1].stop
    shift = torch.randn(1, total, generator=torch.Generator().manual_seed(6)) * 0.3
    session.directions.update(s=Direction("s", shift, space="s"))
    session.set("s", 1.0)
    before, seen = session.preview(resolution=32), []
    session.renderer.tuned._image_cache.clear()
    config = DragConfig(steps=1, stop_px=0.01, feature_px=16)
    session.drag([[40, 30]], [[44, 30]], config=config, on_step=lambda *at: seen.append(at[2]))
    assert torch.allclose(seen[0], before, atol=1e-6)
