"""Events for the connections that listen to an open photo."""

from __future__ import annotations

import asyncio
from typing import Any

MAX_QUEUED_EVENTS = 64  # of one watcher; one that does not read loses the oldest previews


Event = tuple[dict[str, Any], bytes | None]


class EventQueue:
    """One connection that listens to an open photo: events wait in a queue of its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def send(self, event: Event) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._put, event)
        except RuntimeError:  # the loop has ended
            pass

    async def next(self) -> Event:
        """The oldest event; waits for one."""
        return await self._events.get()

    def _put(self, event: Event) -> None:
        if self._events.qsize() < MAX_QUEUED_EVENTS or event[1] is None:
            self._events.put_nowait(event)
