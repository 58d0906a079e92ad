"""Which instances and which clients stand out."""

from __future__ import annotations

from gateway.agents.anomalies import Anomalies
from gateway.agents.failure_detection import FailureDetector, HealthChange


def _learn(detector: FailureDetector, outcomes: str, begin: float, instance: str = "10.0.0.1:1") -> list[HealthChange]:
    """`x`: an attempt that failed, `.`: one that did not; ten in a second."""
    changes = [
        detector.learn("user-api", instance, begin + number / 10, failed=outcome == "x")
        for number, outcome in enumerate(outcomes)
    ]
    return [change for change in changes if change is not None]


def test_an_instance_that_fails_half_of_its_attempts_fails() -> None:
    """Once there are enough, with the share; it is said again where it goes on, and not too often."""
    detector = FailureDetector()
    assert _learn(detector, "....", 0) == []
    assert _learn(detector, "xxxx" + "x" * 50, 10) == [
        HealthChange("user-api", "10.0.0.1:1", "failing", 0.5),
    ]
    [again] = _learn(detector, "x", 25)
    assert (again.status, again.error_rate > 0.8) == ("failing", True)


def test_an_instance_recovers_where_attempts_go_well() -> None:
    """It is said once; an instance that was never out is never said to be back."""
    detector = FailureDetector()
    _learn(detector, "xxxxx", 0)
    assert _learn(detector, "..", 61) == []
    assert _learn(detector, "...", 62) == [HealthChange("user-api", "10.0.0.1:1", "recovered", 0.0)]
    assert _learn(detector, "." * 50, 70) == []
    assert _learn(FailureDetector(), "." * 50, 0) == []


def test_few_failures_are_none() -> None:
    """Nor is what is long ago."""
    assert _learn(FailureDetector(), "xxxx", 0) == []
    assert _learn(FailureDetector(), "x........." * 5, 0) == []
    detector = FailureDetector()
    assert _learn(detector, "xxxx", 0) == []
    assert _learn(detector, "x...", 40) == []


def test_what_is_not_said_again_is_forgotten() -> None:
    """There is no change about an instance without attempts that failed since."""
    detector = FailureDetector()
    assert len(_learn(detector, "xxxxx", 0)) == 1
    assert _learn(detector, "", 20) == []


def test_memory_is_bounded() -> None:
    """Instances that were not heard of for long make room."""
    detector = FailureDetector()
    for number in range(6000):
        _learn(detector, "x", 0, f"10.0.{number // 256}.{number % 256}:1")
    assert len(detector._seen) == 5000


def test_refusals_of_a_client_stand_out() -> None:
    """From half of its requests on, until they are below a quarter."""
    anomalies = Anomalies("acme-monitor")
    alerts = [anomalies.learn("acme-corp", number / 10, denied=True) for number in range(30)]
    [fired] = [alert for alert in alerts if alert is not None]
    assert (fired.state, fired.subject, fired.figures) == ("firing", "client acme-corp", {"share": 1.0})
    later = [anomalies.learn("acme-corp", 60 + number / 10, denied=False) for number in range(30)]
    [resolved] = [alert for alert in later if alert is not None]
    assert resolved.state == "resolved"
    for number in range(2000):
        anomalies.learn(f"client {number}", 100.0, denied=False)
    assert anomalies.clients == 1000
