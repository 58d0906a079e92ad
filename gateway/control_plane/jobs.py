"""Background jobs of the control plane, one line for each: work that runs until the process ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from gateway.control_plane import alerting, channel, idempotency, rollout_job
from gateway.control_plane.health import job as health_job
from gateway.control_plane.plane import Plane
from gateway.live.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Job:
    """One of them: what it is called in the log, and its work, which is begun again where it dies."""

    name: str
    run: Callable[[Plane], Coroutine[Any, Any, None]]


JOBS: Final = (
    Job("the sweeper of answers", idempotency.sweep),
    Job("the channel to gateways", channel.run),
    Job("rollouts", rollout_job.run),
    Job("the health of gateways", health_job.run),
    Job("alerts to people", alerting.run),
)


def begin(plane: Plane) -> Tasks:
    """All of them, supervised."""
    tasks = Tasks()
    for job in JOBS:
        tasks.supervise(job.name, partial(job.run, plane))
    return tasks
