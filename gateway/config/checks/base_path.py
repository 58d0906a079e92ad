"""Routes below the default base path: it removes `/api` from every request that has it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def unsaid(configuration: Configuration) -> Iterator[Fault]:
    """The first route that begins with it, where another one may take its requests without it."""
    file = configuration.routes
    if "base_path" in file.model_fields_set or not file.base_path:
        return
    firsts = {path: path.split("/", 2)[1] for route in file.routes for path in route.all_paths}
    for index, route in enumerate(file.routes):
        for path in route.all_paths:
            if not path.startswith(f"{file.base_path}/"):
                continue
            rest = path.removeprefix(file.base_path).split("/", 2)[1]
            # Whether both may be the same segment of one request.
            taking = [
                other
                for other, first in firsts.items()
                if other != path and (first == rest or any(sign in first + rest for sign in "*{"))
            ]
            if taking:
                message = (
                    f"a request for {path} is compared without {file.base_path}, too, and {taking[0]} may take it; "
                    f"write base_path: / where paths are meant as they are written, or base_path: {file.base_path} "
                    "where a proxy in front adds that"
                )
                yield Fault(("routes", index, "path"), message)
                return
