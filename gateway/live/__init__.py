"""The owner of all that lives beside requests: a configuration plans it, adopting starts it, retiring stops it."""

from gateway.live.loop_lag import LoopLag
from gateway.live.owner import Measured, Owner, Place, Plan, Retiring, Startable, Stoppable, Troubled
from gateway.live.tasks import Supervised, Tasks
from gateway.live.thread import Worker, on_thread

__all__ = [
    "LoopLag",
    "Measured",
    "Owner",
    "Place",
    "Plan",
    "Retiring",
    "Startable",
    "Stoppable",
    "Supervised",
    "Tasks",
    "Troubled",
    "Worker",
    "on_thread",
]
