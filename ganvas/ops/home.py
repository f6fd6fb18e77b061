"""Where ganvas keeps what it fetched or worked out on this computer."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The folder of everything ganvas keeps: $GANVAS_HOME, or else the user's cache folder."""
    chosen = os.environ.get("GANVAS_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("ganvas", False))
