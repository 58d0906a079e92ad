"""Names that do not resolve, said in the log when a configuration is taken up: one that is misspelt would otherwise
show only by its requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from itertools import islice

from gateway.config.host_names import Place, host_names, perhaps_meant
from gateway.config.models import Configuration
from gateway.config.problems import Fault
from gateway.config.yaml.places import to_problem
from gateway.outside.host_lookups import HostLookups

logger = logging.getLogger("gateway.config")

SECONDS = 5.0  # for all names together
MOST = 1000  # names that are looked up


class NameWarnings:
    """Looks up the names that are new in a configuration, on threads. `given` need not resolve; `missed` is called with
    each name that does not, and why, on one of these threads."""

    def __init__(self, given: Collection[str], missed: Callable[[str, str], None]) -> None:
        self._given = given
        self._missed = missed
        self._known: Mapping[str, Place] = {}

    def look(self, configuration: Configuration) -> None:
        """Begin, and return at once: with 10,000 routes it takes long to find the names, too."""
        threading.Thread(target=self._look, args=(configuration,), name="names", daemon=True).start()

    def _look(self, configuration: Configuration) -> None:
        names = host_names(configuration)
        new = {name: place for name, place in names.items() if name not in self._given and name not in self._known}
        self._known = names
        if new:
            self._warn(configuration, dict(islice(new.items(), MOST)))

    def _warn(self, configuration: Configuration, places: Mapping[str, Place]) -> None:
        for name, reason in HostLookups(places, SECONDS).unresolved():
            self._missed(name, reason)
            message = f"{reason}, and until it does requests for it are answered 502{perhaps_meant(name, self._given)}"
            file, place = places[name]
            problem = to_problem(configuration.documents[file], Fault(place, message), "warning")
            logger.warning("%s", problem)
