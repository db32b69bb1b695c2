"""Which placement groups a sweep removes, on a real Ray."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tablert_dist.cluster import connect
from tablert_dist.config import load_config
from tablert_dist.tune.ray_cleanup import sweep

pytestmark = [pytest.mark.ray, pytest.mark.timeout(200)]


@pytest.fixture
def ray() -> Iterator[Any]:
    found = connect(load_config(None, {"cluster.address": "local"}), show_workers=False)
    yield found
    found.shutdown()


def test_a_group_is_removed_at_the_second_look_and_only_if_nobody_is_in_it(ray: Any) -> None:
    from ray.util import placement_group, placement_group_table
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote(num_cpus=0.1)  # type: ignore[untyped-decorator]
    class Worker:
        def here(self) -> bool:
            return True

    used, left = placement_group([{"CPU": 0.2}]), placement_group([{"CPU": 0.2}])
    ray.get([used.ready(), left.ready()])
    worker = Worker.options(scheduling_strategy=PlacementGroupSchedulingStrategy(used)).remote()
    assert ray.get(worker.here.remote())
    until = time.monotonic() + 30
    while not (first := sweep(set())) and time.monotonic() < until:
        time.sleep(0.2)  # the state API's server starts last
    assert first == {left.id.hex()}, "one look is not enough: its workers may be about to start"
    assert sweep(first) == set()
    state = {}
    until = time.monotonic() + 30
    while time.monotonic() < until and state.get(left.id.hex()) != "REMOVED":
        state = {name: group["state"] for name, group in placement_group_table().items()}
    assert state == {used.id.hex(): "CREATED", left.id.hex(): "REMOVED"}
    ray.kill(worker)
    until = time.monotonic() + 30
    while not (empty := sweep(set())) and time.monotonic() < until:
        time.sleep(0.2)
    assert empty == {used.id.hex()}, "whoever was in it is dead"
