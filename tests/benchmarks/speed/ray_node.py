"""A Ray of its own for one arm, up before the clock starts; `python -m` holds it.

The holder is another process, so that an arm connects and disconnects as to any cluster. It ends
when its standard input does, with the process that started it at the latest.
"""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECT_STORE_BYTES = 256 * 2**20
_PATIENCE_S = 60.0


@contextmanager
def fresh_ray(num_cpus: int) -> Iterator[str]:
    """The address of a Ray to which nothing but its holder is connected."""
    command = [sys.executable, "-m", "benchmarks.speed.ray_node", str(num_cpus)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            address = holder.stdout.readline().strip()
            if not address:
                raise RuntimeError("Ray did not start: its holder says why above")
            yield address
        finally:
            holder.stdin.close()
            try:
                holder.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                holder.kill()


def hold(num_cpus: int) -> None:
    """Starts Ray, prints its address, and waits for the end of standard input."""
    import ray

    # Short: Unix socket paths end at 107 characters.
    with tempfile.TemporaryDirectory(prefix="speed", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=folder,
        )
        print(ray.get_runtime_context().gcs_address, flush=True)
        sys.stdin.read()
        ray.shutdown()


if __name__ == "__main__":
    hold(int(sys.argv[1]))
