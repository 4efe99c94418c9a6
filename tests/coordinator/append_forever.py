"""Goes on with the scripted history in the store at argv[1], saying each event it has stored."""

import sys
from itertools import islice

from coordinator.histories import scripted
from lexmove.coordinator.store import open_store

if __name__ == "__main__":
    store = open_store(sys.argv[1])
    num_events = store.load("contracts").num_events
    for event in islice(scripted(), num_events, None):
        store.append("contracts", event)
        print(event.seq, flush=True)
