"""Ray at its edge: connecting, and what a cluster can hold."""

from tablert_dist.cluster.capacity import Capacity, ScalingPlan, capacity, room_for, scaling_plan, shared_out
from tablert_dist.cluster.connection import connect, refuse_early

__all__ = [
    "Capacity",
    "ScalingPlan",
    "capacity",
    "connect",
    "refuse_early",
    "room_for",
    "scaling_plan",
    "shared_out",
]
