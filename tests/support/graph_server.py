"""A real graph database that speaks Bolt, in a process of its own: `python -m tests.support.graph_server FOLDER PORT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

USER, PASSWORD, DATABASE = "root", "of-the-tests", "graph"


def main(folder: str, bolt: int, http: int) -> None:
    """Serve until killed; print `ready` when it answers."""
    import arcadedb_embedded

    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "bolt_port": bolt,
    }
    server = arcadedb_embedded.create_server(root_path=folder, root_password=PASSWORD, config=settings)
    server.start()
    if not (Path(folder) / "databases" / DATABASE).exists():
        server.create_database(DATABASE)
    print("ready", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
