"""Health settings of a configuration, in the form that is used."""

from __future__ import annotations

from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.config.models.health import Health, Outliers
from gateway.upstream.probe import Check


def check_of(config: Health) -> Check:
    """Active checks."""
    return Check(
        config.path,
        config.interval,
        config.timeout,
        config.unhealthy_after,
        config.healthy_after,
        config.initial == "healthy",
        config.method,
        (config.host or "").encode(),
        config.status,
        (config.body or "").encode(),
    )


def outliers_of(config: Outliers | None) -> OutlierSettings | None:
    """Passive health; None where it is off."""
    if config is None:
        return None
    rate, percentage = config.success_rate, config.failure_percentage
    return OutlierSettings(
        consecutive=config.consecutive,
        consecutive_gateway=config.consecutive_gateway,
        interval=config.interval,
        base_ejection=config.base_ejection,
        max_ejection=config.max_ejection,
        max_ejected=config.max_ejected,
        success_rate_deviations=rate.deviations,
        success_rate_hosts=rate.endpoints,
        success_rate_requests=rate.requests,
        failure_percentage=percentage.threshold,
        failure_percentage_hosts=percentage.endpoints,
        failure_percentage_requests=percentage.requests,
    )
