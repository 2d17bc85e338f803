"""All faults, by name, in the order in which they are run and shown."""

from tests.faults.kinds import databases, delivery, network, processes, sentinels
from tests.faults.kinds.fault import Fault, Rig

__all__ = ["FAULTS", "Fault", "Rig"]

FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        processes.KillIngest,
        processes.KillAggregator,
        processes.KillGateway,
        processes.StopIngest,
        processes.StopAggregator,
        processes.StopGateway,
        processes.TwoAggregators,
        processes.KillWorker,
        databases.KillRedis,
        databases.StopRedis,
        databases.KillPostgres,
        databases.StopPostgres,
        databases.RestartInTransaction,
        databases.DiskFull,
        sentinels.KillMaster,
        sentinels.StopMaster,
        sentinels.KillReplica,
        sentinels.StopReplica,
        sentinels.KillSentinel,
        sentinels.StopSentinel,
        sentinels.CutReplica,
        sentinels.FailoverInFlush,
        network.Cut,
        network.BlackHole,
        network.Delay,
        network.Throttle,
        network.Reset,
        network.CutReply,
        delivery.Duplicates,
        delivery.Reordered,
        delivery.ClockStep,
    )
}
