"""GAN inversion: the latent (and a small tuning of the generator) that reproduces a given image."""
