"""Training in two processes over links of given bandwidths and latencies, beside the prediction.

    sudo python -m benchmarks.links --links 1:0,0.1:0,0.1:1000 -- --network simple_convnet --size 28

Each process is in a network namespace of its own, on this machine. Without a latency the link is a
pair of virtual devices of the kernel; with one, two others, between which a thread of this program
passes packets on when their time has come (not every kernel has tc-netem). Bandwidth is the
kernel's token bucket (tc-tbf). What follows ``--`` goes to `benchmarks.distributed`, which measures
the link too. Linux, iproute2 and MPICH are needed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

SPACES = ("pocketcnn-0", "pocketcnn-1")
DEVICES = ("pocketcnn0", "pocketcnn1")
HOSTS = ("10.93.0.1", "10.93.0.2")
MTU = 9000
BURST = "128kb"

# Processes of one machine would else share memory, past the link.
_OVER_TCP = {"MPIR_CVAR_NOLOCAL": "1", "UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp"}

# What <linux/if_tun.h> says.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

# MPICH starts a process on another host with: PROGRAM [OPTION ...] HOST COMMAND ...
_LAUNCHER = f"""#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
case $1 in {HOSTS[0]}) space={SPACES[0]} ;; *) space={SPACES[1]} ;; esac
shift
exec ip netns exec "$space" sh -c "$*"
"""


def main() -> None:
    """Make one link after the other, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--links", default="1:0,0.1:0", help="with commas between: Gbit/s, colon, microseconds"
    )
    parser.add_argument("rest", nargs="*", metavar="OPTION", help="of benchmarks.distributed")
    options = parser.parse_args()
    for text in options.links.split(","):
        gbit, microseconds = map(float, text.split(":"))
        print(f"{gbit:g} Gbit/s, {microseconds:g} us:", flush=True)
        with linked(gbit, microseconds * 1e-6), launcher() as program:
            run(program, options.rest)


@contextmanager
def linked(gbit: float, latency: float) -> Iterator[None]:
    """Make two namespaces with a link between them, and remove them afterwards."""
    with ExitStack() as undo:
        for space in SPACES:
            _ip("netns", "add", space)
            undo.callback(_ip, "netns", "del", space)
        if latency:
            undo.enter_context(_passing(latency))
        else:
            _ip("link", "add", DEVICES[0], "type", "veth", "peer", "name", DEVICES[1])
        for space, device, host in zip(SPACES, DEVICES, HOSTS, strict=True):
            _ip("link", "set", device, "netns", space)
            _ip("-n", space, "address", "add", f"{host}/24", "dev", device)
            _ip("-n", space, "link", "set", device, "mtu", str(MTU), "up")
            _ip("-n", space, "link", "set", "lo", "up")
            limit = ("tbf", "rate", f"{gbit * 1000:g}mbit", "burst", BURST, "limit", "8mb")
            _do("tc", "-n", space, "qdisc", "add", "dev", device, "root", *limit)
        yield


@contextmanager
def _passing(latency: float) -> Iterator[None]:
    """Make two devices, and pass the packets that go into one on to the other, later."""
    ends = [_tunnel(device) for device in DEVICES]
    done, stop = os.pipe()
    threads = [
        threading.Thread(target=_pass_on, args=(*pair, done, latency))
        for pair in (ends, ends[::-1])
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        os.close(stop)
        for thread in threads:
            thread.join()
        for end in (*ends, done):
            os.close(end)


def _tunnel(device: str) -> int:
    """Make a device whose packets this process reads and writes."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


def _pass_on(source: int, target: int, done: int, latency: float) -> None:
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        timeout = max(0.0, waiting[0][0] - time.perf_counter()) if waiting else None
        ready, _, _ = select.select([source, done], [], [], timeout)
        if done in ready:
            return
        if ready:
            waiting.append((time.perf_counter() + latency, os.read(source, MTU)))
        while waiting and waiting[0][0] <= time.perf_counter():
            with suppress(OSError):  # the other end is not up yet: the packet is lost
                os.write(target, waiting.popleft()[1])


@contextmanager
def launcher() -> Iterator[Path]:
    """Write the program that starts processes in the namespaces."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "launch"
        program.write_text(_LAUNCHER)
        program.chmod(0o755)
        yield program


def run(program: Path, options: list[str]) -> None:
    """Run the benchmark with a process at each end."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        raise SystemExit("no mpiexec: pip install pocketcnn[mpi]")
    _do(
        *("ip", "netns", "exec", SPACES[0], mpiexec, "-launcher", "ssh"),
        *("-launcher-exec", str(program), "-hosts", ",".join(HOSTS), "-n", "2"),
        *(sys.executable, "-m", "benchmarks.distributed", "--bandwidths=", *options),
        env={**os.environ, **_OVER_TCP},
    )


def _ip(*words: str) -> None:
    _do("ip", *words)


def _do(*command: str, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=env)


if __name__ == "__main__":
    main()
