"""Numbers without labels, by name: what all that lives counts by `measures`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.families import Family, Kind, Merge, Sample

HELP: Final = {
    "gateway_agents_requests_left_out_total": "Requests that the bridge to an agent network did not get, as there "
    "were more than 200 in a second.",
    "gateway_agents_feedback_refused_total": "Feedback of agents that was refused, because too few endpoints would "
    "have been left.",
    "gateway_config_good": "1 while the files are those that are served. At 0, correct what /health of the admin port "
    "lists.",
    "gateway_config_age_seconds": "Time since the configuration in force was loaded.",
    "gateway_troubles": "What does not work now. gateway status lists it, with what to do.",
    "gateway_client_connections": "Connections of clients that are open.",
    "gateway_client_connections_limit": "How many there may be: limits.connections, or what the number of open files "
    "allows.",
    "gateway_client_connections_refused_total": "Connections beyond that, which were answered 503. Where it grows, "
    "raise it, or add a replica.",
    "gateway_task_deaths_total": "Long-lived tasks that ended by an error and were begun again; the log has the "
    "traceback.",
    "gateway_loop_lag_seconds": "How late the event loop is, measured twenty times a second. Over 0.1, add a replica.",
    "gateway_loop_stalls_total": "Times that code kept everything waiting for over a second; the log names its place.",
    "gateway_loop_stalled_seconds_total": "How long it did.",
    "gateway_access_log_up": "1 while the access log is written. At 0, make room on its disk, or look at what reads "
    "it.",
    "gateway_access_log_lost_total": "Lines of the access log that could not be written.",
    "gateway_process_log_lost_total": "Lines of the gateway's own log that could not be written; look at what reads "
    "stderr.",
    "gateway_audit_log_up": "1 while the audit log is written. At 0, make room; with on_failure: closed nothing is "
    "served.",
    "gateway_audit_log_waiting": "Records of the audit log that wait in memory; beyond 20,000 they are lost.",
    "gateway_audit_log_records_total": "Records of the audit log that were written.",
    "gateway_audit_log_lost_total": "Records of the audit log that found no room in memory.",
    "gateway_telemetry_sent_total": "Requests, log lines and readings of metrics that an OpenTelemetry collector took.",
    "gateway_telemetry_lost_total": "The same that found no room, or that it did not take; /health says why.",
    "gateway_state_directory_up": "1 while the state directory can be written. At 0, what is kept there is lost by a "
    "restart.",
    "gateway_clock_offset_seconds": "How far this machine's clock is ahead of others (behind: negative), where it is "
    "wrong; set it right.",
    "gateway_clock_jumps_total": "Times that the clock of this machine was set while the gateway ran.",
    "gateway_memory_limit_bytes": "What the control group of the gateway may have; absent without a limit.",
    "gateway_memory_used_bytes": "What it has, without what the kernel can take back. Near the limit, raise that: "
    "docs/sizing.md.",
    "gateway_held_bodies_bytes": "What bodies of requests to models and MCP servers take that are held in memory.",
    "gateway_held_bodies_limit_bytes": "What they may take: limits.bodies_in_memory.",
    "gateway_held_bodies_refused_total": "Requests that found no room among them. Where it grows, raise that, together "
    "with the memory of the gateway.",
    "gateway_redis_up": "1 while Redis answers. At 0, limits go on as their on_failure says; /health has the reason.",
    "gateway_redis_calls_total": "Calls of Redis.",
    "gateway_redis_failures_total": "Calls of Redis that failed. Where it grows, compare redis.timeout with Redis's "
    "latency.",
    "gateway_redis_outages_total": "Times that Redis was given up for a while.",
    "gateway_cache_hits_total": "Responses from the cache that were fresh.",
    "gateway_cache_collapsed_total": "Responses from the cache to requests that waited for another one's.",
    "gateway_cache_stale_total": "Responses from the cache that were stale, as may be when the backend fails.",
    "gateway_cache_revalidated_total": "Responses from the cache that the backend confirmed.",
    "gateway_cache_misses_total": "Requests that a cache could have answered, and the backend did.",
    "gateway_cache_bypassed_total": "Requests that were none for the cache, with a credential for instance.",
    "gateway_cache_stored_total": "Responses that were stored.",
    "gateway_cache_evicted_total": "Stored responses that made room for others. Where it grows with misses, raise "
    "cache.size.",
    "gateway_cache_invalidated_total": "Resources that a request changed, so that nothing stored of them was right.",
    "gateway_cache_purged_total": "Stored responses that were removed through the admin port.",
    "gateway_cache_bytes": "What stored responses take; in Redis of all gateways, as of the last one that this stored.",
    "gateway_cache_resources": "Resources of which something is stored in memory.",
    "gateway_quota_file_up": "1 while the file of the quotas can be used. At 0, quotas are counted in memory; see "
    "/health.",
    "gateway_quota_file_failures_total": "Failures to use the file of the quotas.",
    "gateway_quota_file_outages_total": "Times that the file of the quotas could not be used for a while.",
    "llm_holds": "Requests to models that are under way.",
    "llm_reserved_tokens": "Tokens that requests under way reserve of budgets.",
    "llm_reserved_usd": "Dollars that they reserve.",
    "llm_budget_overshoot_tokens_total": "Tokens that requests used beyond what they had reserved.",
    "llm_budget_overshoot_usd_total": "Dollars that requests cost beyond what they had reserved.",
    "llm_budget_refusals_total": "Requests to models that a budget did not let pass.",
    "gateway_monitor_bytes": "What the windows of the monitor take in memory.",
    "gateway_monitor_left_out": "Routes, services, endpoints and tenants of which the monitor does not keep all: "
    "they are too many; see docs/monitor.md.",
    "gateway_monitor_feedback_total": "Messages that an endpoint stands out from its peers, or does no more.",
    "gateway_health_checks_total": "Health checks of endpoints.",
    "gateway_health_check_failures_total": "Health checks that failed; gateway top shows of which endpoints, and why.",
}
"""The help texts of numbers without labels, by name. docs/metrics.md has the same."""

_MERGES: Final[Mapping[str, Merge]] = {
    "gateway_config_good": "min",
    "gateway_config_age_seconds": "max",
    "gateway_loop_lag_seconds": "max",
    "gateway_access_log_up": "min",
    "gateway_audit_log_up": "min",
    "gateway_state_directory_up": "min",
    "gateway_redis_up": "min",
    "gateway_quota_file_up": "min",
}
"""How gauges merge that cannot be summed over processes."""


def plain(measures: Mapping[str, float]) -> Iterator[Family]:
    """Each of HELP: counters where the name ends in `_total`, gauges otherwise."""
    for name, value in measures.items():
        kind: Kind = "counter" if name.endswith("_total") else "gauge"
        yield Family(name, kind, HELP.get(name, name), samples=[Sample((), value)], merge=_MERGES.get(name, "sum"))
