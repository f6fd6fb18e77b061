"""Frozen feature extractors: perceptual features, face detection, scores."""
