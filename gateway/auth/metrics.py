"""Metrics of token issuers whose keys are fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from gateway.auth.jwks import PublishedKeys


def issuer_metrics(sources: Iterable[PublishedKeys]) -> Iterator[Metric]:
    """A label for each issuer of the configuration: there are no others."""
    age = GaugeMetricFamily(
        "gateway_issuer_keys_age_seconds",
        "Time since the keys of an issuer were fetched; where it grows, /health says why they cannot be.",
        labels=["issuer"],
    )
    left = GaugeMetricFamily(
        "gateway_issuer_keys_seconds_left",
        "Time for which they still hold; at 0 its tokens are answered 503.",
        labels=["issuer"],
    )
    for each in sources:
        if each.age is not None:
            age.add_metric([each.settings.issuer], each.age)
        left.add_metric([each.settings.issuer], max(0.0, each.seconds_left))
    yield from (age, left)
