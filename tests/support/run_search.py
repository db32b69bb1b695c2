"""A search in a process of its own: its trials and the placement groups that it leaves, as a line of JSON.

`python tests/support/run_search.py SPACE NAME RESUME KEY=VALUE …`
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tablert_dist.config import load_config, parse_assignment
from tablert_dist.tune.search import search
from tablert_dist.tune.space import load_space

GONE_S = 60.0
"""How long Ray's cleaner may take after the last trial."""


def main(space: str, name: str, resume: str, *assignments: str) -> None:
    """Search and print."""
    config = load_config(None, dict(parse_assignment(text) for text in assignments))
    result, _, _ = search(
        config, load_space(space, config), name, resume == "resume", lambda line: print(line, flush=True)
    )
    until = time.monotonic() + GONE_S
    while (left := placement_groups()) and time.monotonic() < until:
        time.sleep(0.2)
    trials = [
        {"name": t.name, "point": dict(t.point), "epochs": len(t.history), "finished": t.finished, "stopped": t.stopped}
        for t in (*result.earlier, *result.trials)
    ]
    print(json.dumps({"trials": trials, "best": result.best.name, "placement_groups": left}))


def placement_groups() -> list[Any]:
    """Those that hold room or wait for it."""
    from ray.util import placement_group_table

    return [group for group in placement_group_table().values() if group["state"] != "REMOVED"]


if __name__ == "__main__":
    main(*sys.argv[1:])
