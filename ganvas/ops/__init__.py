"""Maths that several families share. Floor 1: imports nothing of ours but errors and checks."""
