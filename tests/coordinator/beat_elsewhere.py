"""Runs the study at argv[1] as on the machine argv[2], until nothing more is said to it.

argv[3] and argv[4] are the seconds from one sign of life to the next, and those of silence.
"""

import select
import sys

from lexmove.coordinator import driver_process, heartbeats
from lexmove.coordinator.store import open_store
from lexmove.errors import OvertakenStudyError

if __name__ == "__main__":
    url, machine, period_s, silence_s = sys.argv[1:]
    if machine != "here":
        driver_process._machine = lambda: machine
    heartbeats.PERIOD_S, heartbeats.SILENCE_S = float(period_s), float(silence_s)
    try:
        with heartbeats.beating(open_store(url), url, "contracts", print) as heart:
            while not select.select([sys.stdin], [], [], 0.05)[0]:
                heart.check()
    except OvertakenStudyError as error:
        print(error, flush=True)
