"""Each operation of ADA against its definition, and the draws against their distributions."""

import math

import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.models import build
from ganvas.training.ada import ADA_GROUPS, Dice, band_matrices, equalise, recolour
from ganvas.training.augment import Ada
from ganvas.training.penalties import r1_penalty

EVERYTHING = tuple(ADA_GROUPS)
MANY = 4000


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def same(a, b):
    """[N] bool: which pictures of two batches are bit by bit the same."""
    return (a == b).flatten(1).all(dim=1)


def motion(name, p=1.0, px=64, **ranges):
    return Ada((name,), **ranges).draw_geometry(Dice(MANY, p, rng()), px, px)


def colours(name, p=1.0):
    return Ada((name,)).draw_colour(Dice(MANY, p, rng()))


class TestGeometry:
    def test_flip_alone_flips_half(self):
        img = torch.rand(400, 3, 8, 8)
        out = Ada(("flip",))(img, p=1, rng=rng())
        flipped = same(out, img.flip(3))
        assert (flipped | same(out, img)).all() and flipped.float().mean().item() == pytest.approx(0.5, abs=0.07)

    def test_rot90_alone_gives_all_four_turns(self):
        img = torch.rand(400, 3, 8, 8)
        out = Ada(("rot90",))(img, p=1, rng=rng())
        turned = torch.stack([same(out, torch.rot90(img, k, (2, 3))) for k in range(4)])
        assert (turned.sum(dim=0) == 1).all() and turned.float().mean(dim=1).min() > 0.18

    def test_a_shift_is_whole_pixels_with_mirrored_borders(self):
        img = torch.rand(600, 1, 16, 16)
        out = Ada(("shift",))(img, p=1, rng=rng())
        padded = torch.nn.functional.pad(img, (2, 2, 2, 2), mode="reflect")
        steps = torch.stack([same(out, padded[:, :, y : y + 16, x : x + 16]) for y in range(5) for x in range(5)])
        assert (steps.sum(dim=0) == 1).all() and steps.any(dim=1).all()

    def test_an_oblong_picture_keeps_its_shape(self):
        img = torch.rand(64, 3, 8, 12)
        out = Ada(("flip", "rot90", "shift"))(img, p=1, rng=rng())
        assert out.shape == img.shape and out.isfinite().all()
        assert same(Ada(("rot90",))(img, p=1, rng=rng()), img.flip(2, 3)).float().mean() > 0.1  # half turns are exact

    @pytest.mark.parametrize("p", [0.2, 0.7])
    @pytest.mark.parametrize("name", ["drift", "rotate", "scale", "stretch"])
    def test_a_share_of_p_is_changed(self, name, p):
        """Of the two rotations together, too."""
        drawn = motion(name, p)
        assert drawn.is_changed.float().mean().item() == pytest.approx(p, abs=0.03)
        assert torch.equal(drawn.is_changed, drawn.smooth)

    def test_sizes_aspects_and_steps_are_drawn_as_in_the_paper(self):
        scale = motion("scale").inverse
        assert (scale.det().log2() / 2).std().item() == pytest.approx(0.2, rel=0.05)
        stretch = motion("stretch").inverse
        assert torch.allclose(stretch.det(), torch.ones(MANY), atol=1e-5)
        assert stretch[:, 0, 0].log2().std().item() == pytest.approx(0.2, rel=0.05)
        drift = motion("drift").inverse[:, :2, 2]
        assert drift.std().item() == pytest.approx(0.125 * 64, rel=0.05) and abs(drift.mean().item()) < 0.5
        shift = motion("shift").inverse[:, :2, 2]
        assert torch.equal(shift, shift.round()) and shift.abs().max() == 8
        assert shift.std().item() == pytest.approx(16 / math.sqrt(12), rel=0.05)

    def test_rotations_go_all_the_way_round(self):
        turn = motion("rotate").inverse
        angle = torch.atan2(turn[:, 1, 0], turn[:, 0, 0])
        assert torch.allclose(turn[:, :2, :2] @ turn[:, :2, :2].mT, torch.eye(2), atol=1e-5)
        counts = torch.histc(angle, 8, -math.pi, math.pi)
        assert counts.min() > 0.8 * MANY / 8 and counts.max() < 1.2 * MANY / 8

    def test_everything_at_once_is_one_after_the_other(self):
        """Contents moved by each operation in the paper's order, against the one matrix that leads back."""
        ada = Ada(("geometry",))
        got = ada.draw_geometry(Dice(50, 0.5, rng(3)), 32, 32).inverse.double()
        dice, half, backward = Dice(50, 0.5, rng(3)), 1 - math.sqrt(0.5), torch.eye(3).double().repeat(50, 1, 1)

        def step(matrices, happens):
            for i in range(50):
                if happens[i]:
                    backward[i] = backward[i] @ matrices[i]

        def diagonal(x, y):
            return [
                torch.diag(torch.tensor([a, b, 1.0], dtype=torch.float64))
                for a, b in zip(x.tolist(), y.tolist(), strict=True)
            ]

        def turned(angles):
            return [
                torch.tensor(
                    [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]], dtype=torch.float64
                )
                for a in angles
            ]

        def stepped(x, y):
            return [
                torch.tensor([[1, 0, a], [0, 1, b], [0, 0, 1]], dtype=torch.float64)
                for a, b in zip(x.tolist(), y.tolist(), strict=True)
            ]

        step(diagonal(1 - 2 * dice.whole(2), torch.ones(50)), dice.chance())
        step(turned((dice.whole(4) * math.pi / 2).tolist()), dice.chance())
        step(stepped(dice.uniform(-4, 4).round(), dice.uniform(-4, 4).round()), dice.chance())
        size = dice.power_of_two(0.2)
        step(diagonal(size, size), dice.chance())
        step(turned(dice.angle().tolist()), dice.chance(half))
        aspect = dice.power_of_two(0.2)
        step(diagonal(aspect, 1 / aspect), dice.chance())
        step(turned(dice.angle().tolist()), dice.chance(half))
        step(stepped(dice.normal(4), dice.normal(4)), dice.chance())
        assert torch.allclose(got, backward, atol=1e-4)


class TestColour:
    img = torch.rand(300, 3, 4, 4) * 2 - 1

    def out(self, name):
        return Ada((name,))(self.img, p=1, rng=rng())

    def test_brightness_adds_one_number_to_a_picture(self):
        change = (self.out("brightness") - self.img).flatten(1)
        assert (change.amax(dim=1) - change.amin(dim=1)).max() < 1e-6
        assert colours("brightness")[:, 0, 3].std().item() == pytest.approx(0.2, rel=0.05)

    def test_contrast_multiplies_a_picture_by_one_number(self):
        ratio = (self.out("contrast") / self.img).flatten(1)
        assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4) and (ratio > 0).all()
        assert colours("contrast")[:, 1, 1].log2().std().item() == pytest.approx(0.5, rel=0.05)

    def test_luma_flip_mirrors_the_grey_of_half(self):
        out, mirror = self.out("luma_flip"), self.img - 2 * self.img.mean(dim=1, keepdim=True)
        flipped = (out - mirror).abs().flatten(1).amax(dim=1) < 1e-6
        assert (flipped | same(out, self.img)).all()
        assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.08)

    def test_hue_turns_colours_about_grey(self):
        out = self.out("hue")
        assert torch.allclose(out.mean(dim=1), self.img.mean(dim=1), atol=1e-6)
        assert torch.allclose(out.norm(dim=1), self.img.norm(dim=1), atol=1e-5)
        m = colours("hue")[:, :3, :3]
        assert torch.allclose(m.det(), torch.ones(MANY), atol=1e-5)  # a turn, not a mirror
        turn = torch.acos(((m.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
        assert torch.histc(turn, 4, 0, math.pi).min() > 0.85 * MANY / 4
        third = ThirdOfATurn(1, 1.0, rng())
        green = recolour(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), Ada(("hue",)).draw_colour(third))
        assert green.flatten().tolist() == pytest.approx([0, 1, 0], abs=1e-6)  # a third of a turn: red to green

    def test_saturation_stretches_what_is_not_grey(self):
        out, grey = self.out("saturation"), self.img.mean(dim=1, keepdim=True)
        ratio = ((out - grey) / (self.img - grey)).flatten(1)
        keep = (self.img - grey).abs().flatten(1) > 0.05
        middle = ratio.median(dim=1, keepdim=True).values
        assert ((ratio / middle - 1).abs()[keep] < 1e-3).all()
        assert middle.log2().std().item() == pytest.approx(1, abs=0.15)

    def test_everything_at_once_is_one_after_the_other(self):
        got = Ada(("colour",)).draw_colour(Dice(40, 0.6, rng(1)))
        dice, img = Dice(40, 0.6, rng(1)), torch.rand(40, 3, 2, 2)

        def then(x, changed, happens):
            return torch.where(happens[:, None, None, None], changed, x)

        def grey(x):
            return x.mean(dim=1, keepdim=True)

        x, happens, add = img, dice.chance(), dice.normal(0.2).view(-1, 1, 1, 1)
        x = then(x, x + add, happens)
        x = then(x, x * dice.power_of_two(0.5).view(-1, 1, 1, 1), dice.chance())
        x = then(x, x - 2 * grey(x) * dice.whole(2).view(-1, 1, 1, 1), dice.chance())
        angle, axis = dice.angle().view(-1, 1, 1, 1), torch.full((3,), 3**-0.5).view(1, 3, 1, 1).expand_as(x)
        turned = x * angle.cos() + torch.linalg.cross(axis, x, dim=1) * angle.sin() + grey(x) * (1 - angle.cos())
        x = then(x, turned, dice.chance())
        x = then(x, grey(x) + (x - grey(x)) * dice.power_of_two(1.0).view(-1, 1, 1, 1), dice.chance())
        assert torch.allclose(recolour(img, got), x, atol=1e-5)

    def test_a_grey_picture_is_changed_like_the_grey_it_shows(self):
        grey, matrix = torch.rand(20, 1, 4, 4), Ada(("colour",)).draw_colour(Dice(20, 1.0, rng()))
        three = recolour(grey.expand(20, 3, 4, 4), matrix).mean(dim=1, keepdim=True)
        assert torch.allclose(recolour(grey, matrix), three, atol=1e-5)
        assert Ada()(grey, p=0.5, rng=rng()).shape == grey.shape


class ThirdOfATurn(Dice):
    def angle(self):
        return torch.full((self.n,), 2 * math.pi / 3)


class TestTheOtherGroups:
    def test_bands_add_up_to_the_picture(self):
        assert torch.allclose(band_matrices(16).sum(dim=0), torch.eye(16), atol=1e-6)
        img = torch.rand(2, 3, 16, 24)
        assert torch.allclose(equalise(img, torch.ones(2, 4)), img, atol=1e-5)

    @pytest.mark.parametrize(("band", "period"), [(0, 64), (1, 12), (2, 6), (3, 2)])
    def test_each_band_is_its_octave(self, band, period):
        """Most of a wave passes in the band it belongs to; half a wave between octaves may go to the neighbour."""
        line = (2 * math.pi * torch.arange(97) / period).cos()
        passed = (band_matrices(97) @ line).square().mean(dim=1)
        assert passed.argmax() == band and passed[band] > 0.5 * passed.sum()

    def test_one_bands_gain_keeps_the_expected_power(self):
        gains = Ada(("filter",)).draw_gains(Dice(MANY, 0.1, rng()))
        power = (gains.square() * torch.tensor([10, 1, 1, 1]) / 13).sum(dim=1)
        changed = (gains != 1).any(dim=1)
        assert changed.float().mean().item() == pytest.approx(1 - 0.9**4, abs=0.03)
        ratio = gains / gains.median(dim=1, keepdim=True).values
        alone = changed & (((ratio - 1).abs() > 1e-6).sum(dim=1) == 1)
        assert alone.sum() > 500 and torch.allclose(power[alone], torch.ones(int(alone.sum())), atol=1e-4)
        assert ratio[alone].log2().abs().amax(dim=1).square().mean().sqrt().item() == pytest.approx(1, rel=0.1)

    def test_noise_has_a_half_normal_strength(self):
        img = torch.zeros(2000, 1, 16, 16)
        strength = Ada(("noise",))(img, p=0.5, rng=rng()).flatten(1).std(dim=1)
        assert (strength > 0).float().mean().item() == pytest.approx(0.5, abs=0.04)
        assert strength[strength > 0].square().mean().sqrt().item() == pytest.approx(0.1, rel=0.1)

    def test_cutout_hides_half_of_each_side_and_is_cut_at_the_border(self):
        hole = Ada(("cutout",))(torch.ones(1000, 1, 16, 16), p=0.5, rng=rng())[:, 0] == 0
        assert hole.any(dim=2).any(dim=1).float().mean().item() == pytest.approx(0.5, abs=0.05)
        rows, columns = hole.any(dim=2), hole.any(dim=1)
        assert torch.equal(hole, rows[:, :, None] & columns[:, None, :]) and rows.sum(dim=1).max() == 8
        assert hole[:, 8, 8].float().mean().item() == pytest.approx(0.125, abs=0.03)


class TestAda:
    def test_at_zero_it_is_the_identity(self):
        img = torch.rand(4, 3, 8, 8)
        assert Ada(EVERYTHING)(img, p=0, rng=rng()) is img

    def test_pictures_that_nothing_was_drawn_for_come_out_bit_by_bit(self):
        img = torch.randn(1000, 3, 8, 8)
        untouched = same(Ada(("scale", "brightness", "drift"))(img, p=0.3, rng=rng()), img)
        assert untouched.float().mean().item() == pytest.approx(0.7**3, abs=0.05)

    def test_it_is_repeatable_and_each_picture_is_changed_alone(self):
        img = torch.randn(8, 3, 16, 16)
        out = Ada(EVERYTHING)(img, p=0.7, rng=rng(1))
        assert torch.equal(Ada(EVERYTHING)(img, p=0.7, rng=rng(1)), out)
        assert not torch.equal(Ada(EVERYTHING)(img, p=0.7, rng=rng(2)), out)
        other = img.clone()
        other[3] = 0
        again = Ada(EVERYTHING)(other, p=0.7, rng=rng(1))
        rest = [0, 1, 2, 4, 5, 6, 7]
        assert torch.allclose(again[rest], out[rest], atol=1e-6) and not torch.equal(again[3], out[3])

    def test_gradients_of_both_orders(self):
        img = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
        change = lambda x: Ada(EVERYTHING)(x, p=0.8, rng=rng(4))  # noqa: E731
        assert torch.autograd.gradcheck(change, img)
        assert torch.autograd.gradgradcheck(lambda x: change(x).pow(3), img)

    def test_under_autocast_and_in_channels_last_it_computes_in_float32(self):
        img = torch.randn(6, 3, 16, 16)
        plain = Ada(EVERYTHING)(img, p=0.8, rng=rng())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(Ada(EVERYTHING)(img, p=0.8, rng=rng()), plain)
        last = img.contiguous(memory_format=torch.channels_last)
        assert torch.allclose(Ada(EVERYTHING)(last, p=0.8, rng=rng()), plain, atol=1e-5)
        half = Ada(EVERYTHING)(img.bfloat16(), p=0.8, rng=rng())
        assert half.dtype == torch.bfloat16 and torch.allclose(half.float(), plain, atol=0.1)

    def test_a_penalty_goes_through_it_to_the_picture_before(self):
        torch.manual_seed(0)
        D = build("stylegan2", network="D", img_resolution=8, channel_base=64, channel_max=8)
        img = torch.randn(4, 3, 8, 8)
        penalty = r1_penalty(lambda x: D(Ada()(x, p=0.6, rng=rng())), img, gamma=1)
        penalty.mean().backward()
        assert penalty.shape == (4,) and all(p.grad.isfinite().all() for p in D.parameters() if p.grad is not None)
        # A flip moves the slopes and keeps their length.
        flipped = r1_penalty(lambda x: D(Ada(("flip", "rot90"))(x, p=1, rng=rng())), img, gamma=1)
        expected = r1_penalty(D, Ada(("flip", "rot90"))(img, p=1, rng=rng()), gamma=1)
        assert torch.allclose(flipped, expected, rtol=1e-4)

    def test_r3gans_has_cutout_and_colours_half_as_often(self):
        ada = Ada.r3gan()
        assert ada.operations == {*ADA_GROUPS["geometry"], *ADA_GROUPS["colour"], "cutout"}
        changed = Ada(("brightness",), colour_share=0.5).draw_colour(Dice(MANY, 0.6, rng()))[:, 0, 3] != 0
        assert changed.float().mean().item() == pytest.approx(0.3, abs=0.03) and ada.colour_share == 0.5

    def test_the_two_usual_groups_are_on_and_the_others_off(self):
        assert Ada().operations == {*ADA_GROUPS["geometry"], *ADA_GROUPS["colour"]}
        assert Ada(["flip"]).groups == ("flip",)  # JSON turns tuples into lists

    def test_what_does_not_fit_is_refused(self):
        img = torch.zeros(2, 3, 8, 8)
        with pytest.raises(BadConfig, match=r"'colours'; known: .*colour"):
            Ada(("colours",))
        with pytest.raises(BadConfig, match="noise_std"):
            Ada(noise_std=-1)
        with pytest.raises(BadConfig, match="at most 1"):
            Ada(cutout_size=2)
        with pytest.raises(BadConfig, match="probability"):
            Ada()(img, p=1.2, rng=rng())
        with pytest.raises(BadImage, match="4 px"):
            Ada()(torch.zeros(2, 3, 8, 3), p=0.5, rng=rng())
        with pytest.raises(BadImage, match="omit 'colour'"):
            Ada()(torch.zeros(2, 2, 8, 8), p=0.5, rng=rng())
        assert Ada(("geometry",))(torch.zeros(2, 2, 8, 8), p=0.5, rng=rng()).shape == (2, 2, 8, 8)
