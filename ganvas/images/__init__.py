"""FILE ⇄ IMG: pictures read, cut, masked, pasted back and written without losing anything."""
