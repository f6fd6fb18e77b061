"""Weights: load our own and foreign files, export, and the model catalogue. Nothing in a file is ever executed."""
