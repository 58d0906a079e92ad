"""Checks across several keys: one table for all that reads a configuration or only checks it.

What one value or one group of keys shows is checked by its model. A check that needs what is above `config/` in the
order of imports (the policies, a name service) is in the table of `gateway/check.py`, which goes on from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config.checks import (
    agents,
    alerts,
    authorization,
    balancing,
    base_path,
    blocklist,
    breakers,
    cache,
    consumers,
    control_plane,
    cors,
    discovery,
    foreign_paths,
    headers,
    health,
    llm,
    llm_idle,
    llm_routes,
    mcp,
    methods,
    numbers,
    outliers,
    outputs,
    paths_in_conditions,
    plain_secrets,
    prefixes,
    references,
    resilience,
    route_ids,
    routes,
    schemes,
    several_files,
    splits,
    stores,
    traces,
)
from gateway.config.models import Configuration
from gateway.config.problems import Fault, Problem, Severity, and_more, at_most
from gateway.config.yaml.document import Document
from gateway.config.yaml.places import to_problem


@dataclass(frozen=True, slots=True)
class Check:
    """`find` yields what is wrong in `file`, of a configuration in which every key by itself is right."""

    file: str
    find: Callable[[Configuration], Iterable[Fault]]
    of_what_is_not_there: bool = False  # which may be there, and have an error


AS_READ: Mapping[str, Callable[[Any, Document], Iterable[Fault]]] = {"routes.yaml": references.check_references}
"""Checks of one file's values, whatever their shape, so that what they find is reported with every other error."""

ERRORS = (
    Check("routes.yaml", schemes.unknown_in_routes),
    Check("routes.yaml", several_files.same_routes),
    Check("routes.yaml", discovery.without_redis),
    Check("routes.yaml", breakers.unknown_profiles),
    Check("routes.yaml", llm_routes.without_models),
    Check("routes.yaml", llm_routes.taken_names),
    Check("routes.yaml", llm_routes.open_to_all, of_what_is_not_there=True),
    Check("models.yaml", llm_routes.open_paths, of_what_is_not_there=True),
    Check("models.yaml", llm.unknown_names),
    Check("models.yaml", llm.incomplete_providers),
    Check("models.yaml", llm.endless_overflow),
    Check("models.yaml", llm.without_redis),
    Check("models.yaml", llm.paths_of_servers),
    Check("models.yaml", mcp.unknown_names),
    Check("middleware.yaml", route_ids.unknown),
    Check("middleware.yaml", route_ids.taken_by_another_file),
    Check("middleware.yaml", headers.unknown_variables),
    Check("middleware.yaml", headers.request_id_is_an_identity_header),
    Check("middleware.yaml", outputs.check_outputs),
    Check("auth.yaml", schemes.unknown_in_default),
    Check("auth.yaml", consumers.duplicates),
)
"""A configuration in which one of these finds something is refused."""

WARNINGS = (
    Check("routes.yaml", discovery.open_prefixes),
    Check("routes.yaml", discovery.missing_files),
    Check("routes.yaml", agents.services_without_networks),
    Check("middleware.yaml", agents.credentials_in_clear),
    Check("middleware.yaml", agents.names_of_others),
    Check("routes.yaml", routes.warnings),
    Check("routes.yaml", foreign_paths.literal),
    Check("routes.yaml", base_path.unsaid),
    Check("routes.yaml", methods.misspelt),
    Check("routes.yaml", prefixes.never_stripped),
    Check("routes.yaml", balancing.warnings),
    Check("routes.yaml", balancing.twice),
    Check("routes.yaml", outliers.warnings),
    Check("routes.yaml", paths_in_conditions.unmet),
    Check("routes.yaml", resilience.warnings),
    Check("routes.yaml", resilience.stale_without_cache),
    Check("routes.yaml", resilience.needing_others),
    Check("routes.yaml", resilience.idle_content_types),
    Check("routes.yaml", splits.warnings),
    Check("routes.yaml", splits.sticky),
    Check("routes.yaml", health.impossible_bodies),
    Check("routes.yaml", numbers.in_routes),
    Check("routes.yaml", authorization.warnings),
    Check("routes.yaml", authorization.left_closed),
    Check("routes.yaml", headers.dropped_but_matched),
    Check("routes.yaml", headers.unknown_claims),
    Check("routes.yaml", cache.idle_on_routes),
    Check("routes.yaml", cache.credentials_everywhere),
    Check("routes.yaml", cache.larger_than_the_store_on_routes),
    Check("routes.yaml", llm_routes.overlaps),
    Check("routes.yaml", llm_routes.idle_on_routes),
    Check("middleware.yaml", alerts.warnings),
    Check("middleware.yaml", control_plane.in_the_open),
    Check("routes.yaml", traces.idle_on_routes),
    Check("middleware.yaml", traces.exported_without_traces),
    Check("middleware.yaml", traces.misread_collector),
    Check("middleware.yaml", traces.sampled_without_export),
    Check("middleware.yaml", outputs.unwritable),
    Check("middleware.yaml", route_ids.unknown_exceptions),
    Check("middleware.yaml", route_ids.idle_patterns),
    Check("middleware.yaml", route_ids.taken_by_another_route),
    Check("middleware.yaml", blocklist.changed_default),
    Check("middleware.yaml", cors.without_credentials),
    Check("middleware.yaml", cache.larger_than_the_store),
    Check("middleware.yaml", cache.kept_longer),
    Check("middleware.yaml", stores.not_shared),
    Check("middleware.yaml", numbers.in_middleware),
    Check("middleware.yaml", numbers.no_retries),
    Check("middleware.yaml", numbers.zones_without_own),
    Check("middleware.yaml", headers.added_beside_the_gateways_own),
    Check("auth.yaml", schemes.warnings),
    Check("auth.yaml", consumers.plain_keys),
    Check("routes.yaml", plain_secrets.in_routes),
    Check("middleware.yaml", plain_secrets.in_middleware),
    Check("auth.yaml", plain_secrets.in_auth),
    Check("models.yaml", plain_secrets.in_models),
    Check("auth.yaml", consumers.expired),
    Check("auth.yaml", llm_idle.models_of_consumers),
    Check("models.yaml", llm_idle.warnings),
    Check("models.yaml", mcp.warnings),
)
"""Warnings of `gateway check`: settings that are probably mistakes, although they can be served."""


def run(checks: Iterable[Check], configuration: Configuration, severity: Severity) -> Iterator[Problem]:
    """The findings of the checks with their lines, in order, each once, and of no check more than `at_most`."""
    found: dict[Problem, None] = {}
    for check in checks:
        problems, more = at_most(_problems(check, configuration, severity))
        found.update(dict.fromkeys(problems))
        if more:
            found[and_more(check.file, severity=severity)] = None
    yield from found


def _problems(check: Check, configuration: Configuration, severity: Severity) -> Iterator[Problem]:
    for fault in check.find(configuration):
        yield to_problem(configuration.documents[check.file], fault, severity)
