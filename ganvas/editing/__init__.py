"""LATENT → LATENT and IMG → IMG: every way to change a picture, each a step that can be undone and replayed."""
