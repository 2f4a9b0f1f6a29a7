"""The processes under test over a Redis that fails over: a primary that is killed, a replica, and Sentinels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import redis

from tests.faults.run_faults import Plan, Stage
from tests.support.failover import SentinelSetup


class FailoverStage(Stage):
    """A `Stage` whose Redis is behind Sentinels."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        super().__init__(plan, folder)
        self.setup = SentinelSetup()

    def start_redis(self) -> str:
        """See `Stage.start_redis`."""
        return self.setup.start().url

    def stop_redis(self) -> None:
        """See `Stage.stop_redis`."""
        self.setup.stop()

    def client(self) -> redis.Redis:
        """See `Stage.client`."""
        return self.setup.client()

    def fail_over(self) -> None:
        """SIGKILL of the primary; the Sentinels make the replica the primary."""
        self.setup.fail_over()

    @property
    def faults(self) -> list[Callable[[], None]]:
        """What can go wrong, as the plan has it."""
        everything = [self.fail_over, self.kill_worker, self.kill_web]
        return [fault for fault in everything if not self.plan.faults or fault.__name__ in self.plan.faults]
