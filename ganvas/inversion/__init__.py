"""IMG → LATENT: the latent (and a little tuning of the generator) that shows a given picture."""
