"""Metrics of generators, always with their protocol."""
