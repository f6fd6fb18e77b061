"""PICTURES → TRAINING: folders and archives of any pictures as one even, labelled, cached set."""
