"""Frozen networks that only look: perceptual features, faces, scores. None of them is ever trained here."""
