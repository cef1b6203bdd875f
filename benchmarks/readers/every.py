"""The readers of all benchmarks, by the name of the benchmark."""

from readers import (
    accelerator,
    attack_cost,
    audit_memory,
    auto_attack,
    fuzzing,
    inner_objective,
    mixed_precision,
    service_load,
    sharded_audit,
    step_cost,
    training_cost,
)
from readers.base import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    "step_cost": step_cost.READER,
    "training_cost": training_cost.READER,
    "attack_cost": attack_cost.READER,
    "auto_attack": auto_attack.READER,
    "audit_memory": audit_memory.READER,
    "inner_objective": inner_objective.READER,
    "mixed_precision": mixed_precision.READER,
    "fuzzing": fuzzing.READER,
    "service_load": service_load.READER,
    "sharded_audit": sharded_audit.READER,
    "accelerator": accelerator.READER,
}
