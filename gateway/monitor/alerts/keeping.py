"""Reads and writes the file of alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from gateway.monitor.alerts.board import Board
from gateway.monitor.alerts.incidents import Incidents
from gateway.monitor.alerts.objectives import Objectives, Row, SeriesKey
from gateway.monitor.alerts.silences import Silence, Silences
from gateway.monitor.alerts.state import (
    Spoken,
    alerts_of,
    alerts_to_json,
    incidents_of,
    incidents_to_json,
    silences_of,
    silences_to_json,
    spoken_of,
)
from gateway.monitor.alerts.states import Alert
from gateway.monitor.alerts.store import AlertFile
from gateway.monitor.alerts.summary import Incident

MOST_ROWS: Final = 20_000  # that wait until the file can be written

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """The state before a restart."""

    alerts: Sequence[Alert]
    spoken: Spoken
    silences: Sequence[Silence]
    incidents: Sequence[Incident]


class Keeping:
    """One file. It is not made before there is something to keep."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.restored = False
        self.wanted: set[SeriesKey] = set()  # series of which it may know earlier counts
        self._file = None if path is None else AlertFile(path)
        self._written: dict[str, bytes] = {}
        self._rows: dict[tuple[object, ...], Row] = {}  # that could not be written yet
        self._shown: object = None  # of the alerts that are written

    async def restore(self, objectives: Objectives) -> Kept | None:
        """The stored state, the first time; wanted counts, each time. None: nothing is new."""
        if self._file is None or (self.restored and not self.wanted):
            self.restored = True
            return None
        found = await self._file.read()
        values, rows = ({}, ()) if found is None else found
        wanted, self.wanted = self.wanted, set()
        objectives.restore(row for row in rows if row.key in wanted)
        if self.restored:
            return None
        self.restored = True
        self._written = dict(values)

        def of(name: str, parse: Callable[[bytes], T], otherwise: T) -> T:
            assert self._file is not None
            return self._file.understood(name, values.get(name), parse, otherwise)

        return Kept(
            of("alerts", alerts_of, []),
            of("spoken", spoken_of, Spoken()),
            of("silences", silences_of, []),
            of("incidents", incidents_of, []),
        )

    async def save(
        self,
        board: Board,
        spoken: bytes,
        silences: Silences,
        incidents: Incidents,
        objectives: Objectives,
        now: float,
    ) -> None:
        """Write what has changed."""
        if self._file is None:
            return
        values = {} if self._written.get("spoken", b"") == spoken else {"spoken": spoken}
        shown = {key: (alert.state, alert.since, alert.fired) for key, alert in board.alerts.items()}
        if shown != self._shown:
            values["alerts"] = alerts_to_json(board.alerts.values())
        if silences.changed:
            values["silences"] = silences_to_json(silences.all())
        if incidents.changed:
            values["incidents"] = incidents_to_json(incidents.over())
        for row in objectives.unsaved():
            self._rows[row[:3]] = row
        while len(self._rows) > MOST_ROWS:
            del self._rows[next(iter(self._rows))]
        if (values or self._rows) and await self._file.write(values, self._rows.values(), now):
            self._rows.clear()
            self._written |= values
            self._shown = shown
            silences.changed = incidents.changed = False

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        return () if self._file is None else self._file.troubles()

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            await self._file.close()
