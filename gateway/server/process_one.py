"""As process 1 of a container: the gateway runs as its child, and whatever is left behind by others is waited for.

A process whose parent ends becomes a child of process 1, and stays a zombie until that waits for it. The gateway cannot
do so itself: children that it started, by subprocess, asyncio or in a policy, look the same to it, and who waits for
one of those takes its exit code away from the code that waits for it. So process 1 starts nothing but the gateway.
"""

from __future__ import annotations

import os
import signal
from typing import Final

PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""All that the gateway knows. What else is sent to process 1 is ignored by the kernel."""
_DESCRIPTORS: Final = 256  # more than a process has that has just begun


def leave_process_one() -> None:
    """Return at once where this is not process 1; otherwise in a child, with whose exit code process 1 ends."""
    if os.getpid() != 1:
        return
    awaited = {*PASSED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    gateway = os.fork()
    if gateway:
        os.closerange(3, _DESCRIPTORS)  # listeners among them, which are to close when the gateway closes them
        os._exit(_wait_for(gateway, awaited))
    os.setpgid(0, 0)  # of what a terminal sends to a whole group it gets only what is passed on, once
    signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)
    if os.environ.get("LISTEN_PID") == "1":  # sockets that were handed to the container
        os.environ["LISTEN_PID"] = str(os.getpid())


def _wait_for(gateway: int, awaited: set[signal.Signals]) -> int:
    """Pass on signals, and wait for every child, until the gateway ends; its exit code, as a shell gives it."""
    while True:
        number = signal.sigwait(awaited)
        if number != signal.SIGCHLD:
            os.kill(gateway, number)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            child, status = ended
            if child == gateway:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
