"""The watch over a local Ray, over processes that are called like its own, and over a real one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who they are")

WATCHED = """
import subprocess, sys, time
from lexmove.cluster.local_ray import RayWatch
is_local, is_closed, *children = sys.argv[1:]
watch = RayWatch(is_local=is_local == "local")
started = [subprocess.Popen([child, "-I", "-S", "-c", "input()"], stdin=-1, stderr=-3)
           for child in children]
while len(watch.known) < len(children) and is_closed == "never":
    time.sleep(0.05)
print(*(child.pid for child in started), flush=True)
if input() == "go on" and is_closed == "closed":
    watch.close()
    watch.close()
print("closed", flush=True)
input()
for child in started:
    child.kill()
"""

CONNECTED = """
from lexmove.cluster.connection import connected
with connected(None, num_cpus=1):
    print("up", flush=True)
    input()
"""


def called(folder: Path, name: str) -> str:
    """A program of that name."""
    path = folder / name
    path.symlink_to(sys.executable)
    return str(path)


def begun(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "platform")},
    )


def heard(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def told(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_a_process_without_its_ray_ends_and_says_so(tmp_path: Path, victim: str) -> None:
    names = ("gcs_server", "raylet")
    process = begun(WATCHED, "local", "never", *(called(tmp_path, name) for name in names))
    pids = dict(zip(names, heard(process), strict=True))
    assert process.poll() is None
    os.kill(int(pids[victim]), signal.SIGKILL)
    assert process.wait(timeout=10) == 4
    _, said = process.communicate()
    assert f"error: the {victim} of the Ray on this machine died" in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("is_local", "is_closed", "name"),
    [("local", "closed", "raylet"), ("elsewhere", "", "raylet"), ("local", "", "raylets")],
)
def test_the_ends_of_others_are_none_of_its_business(
    tmp_path: Path, is_local: str, is_closed: str, name: str
) -> None:
    process = begun(WATCHED, is_local, is_closed, called(tmp_path, name))
    (pid,) = heard(process)
    time.sleep(1.5)
    told(process, "go on")
    assert heard(process) == ["closed"]
    os.kill(int(pid), signal.SIGKILL)
    time.sleep(1.5)
    assert process.poll() is None
    process.communicate("leave\n", timeout=10)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(120)  # it starts a Ray
def test_the_real_ones_are_known() -> None:
    process = begun(CONNECTED)
    assert heard(process) == ["up"]
    time.sleep(2)  # by then they are known
    (raylet,) = (
        child for child in psutil.Process(process.pid).children() if child.name() == "raylet"
    )
    raylet.kill()
    assert process.wait(timeout=10) == 4
    _, said = process.communicate()
    assert "the raylet of the Ray on this machine died" in said
