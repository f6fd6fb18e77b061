"""The ways to find directions without labels, by the names that commands and requests use."""

from __future__ import annotations

from collections.abc import Callable

from ganvas.editing.directions import Direction
from ganvas.editing.discovery.codes import find_codes
from ganvas.editing.discovery.pca import pca
from ganvas.editing.discovery.sefa import sefa

# Each takes (generator, count=, layers=, fingerprint=).
DISCOVERY_METHODS: dict[str, Callable[..., list[Direction]]] = {"sefa": sefa, "pca": pca, "codes": find_codes}
