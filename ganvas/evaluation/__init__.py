"""Folders of photos measured: how well they are found in a generator, edited, enlarged; and reports as pages."""
