"""Waits until `argv[2]` exists, then creates the study `argv[3]` in the store at `argv[1]`."""

import sys
from dataclasses import replace
from pathlib import Path

from coordinator.histories import spec
from lexmove.coordinator.store import open_store

if __name__ == "__main__":
    store, start = open_store(sys.argv[1]), Path(sys.argv[2])
    print("ready", flush=True)
    while not start.exists():
        pass
    store.create(replace(spec(), name=sys.argv[3]))
