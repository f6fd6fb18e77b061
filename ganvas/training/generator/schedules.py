"""What changes along a generator's run by plan: pure functions of the config and of the pictures shown."""

from __future__ import annotations

from ganvas.training.generator.config import TrainConfig, schedule_length_kimg
from ganvas.training.schedule import cosine


def along_schedule(config: TrainConfig, nimg: int, start: float, end: float) -> float:
    """Where a value stands that goes from `start` to `end` along the schedule."""
    return start if config.schedule == "constant" else cosine(start, end, nimg, 1000 * schedule_length_kimg(config))


def scheduled_betas(config: TrainConfig, nimg: int) -> tuple[float, float]:
    """Adam's β1 and β2."""
    end = config.beta2_end
    return config.beta1, config.beta2 if end is None else along_schedule(config, nimg, config.beta2, end)


def scheduled_gamma(config: TrainConfig, nimg: int, start: float) -> float:
    """The weight of R1 or R2 that began with `start`."""
    end = 1.0 if config.gamma_end is None else config.gamma_end / (config.r1_gamma or config.r2_gamma)
    return start * along_schedule(config, nimg, 1, end)


def scheduled_augment_p(config: TrainConfig, nimg: int) -> float:
    """The probability of augment="ramp"."""
    share = min(nimg / (1000 * schedule_length_kimg(config)), 1.0)
    return cosine(0, config.augment_p, share, 1)


def scheduled_blur_px(config: TrainConfig, nimg: int) -> float:
    """How much all that the discriminator sees is blurred: a line from `blur_px` to 0 over `blur_kimg`.

    Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", appendix G: 10 px over 200 k pictures keep
    the discriminator of StyleGAN3-R from looking at high frequencies before there is anything to see.
    """
    return config.blur_px * max(1 - nimg / (1000 * config.blur_kimg), 0.0)
