# SPDX-License-Identifier: Apache-2.0
"""Several ranks of vmae in a test: started by hand on loopback, or under torchrun; bounded waits; nothing left running."""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness import TINY, VMAE, VmaeTest, environment, last_step, make_pictures

MARK = "VMAE_TEST_MARK"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def rank_environment(rank, size, port, address="127.0.0.1", local_rank=None, **extra):
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank if local_rank is None else local_rank), "MASTER_ADDR": address,
            "MASTER_PORT": str(port), **extra}


def marked(mark):
    """Processes (not zombies) whose environment carries the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if f"{MARK}={mark}\0".encode() in (entry / "environ").read_bytes() + b"\0" and (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def variable(pid, name):
    """Of a process's environment; None: not set, or the process is gone."""
    try:
        items = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((item.split("=", 1)[1] for item in items if item.startswith(name + "=")), None)


class RanksTest(VmaeTest):
    """Every process of a test carries a mark; what is left at the end is killed, and orphans() finds it."""

    def setUp(self):
        super().setUp()
        self.mark = f"{os.getpid()}-{self.tmp.name}"
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for pid in marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def env(self, **extra):
        return environment(**{MARK: self.mark}, **extra)

    def assert_no_orphans(self, within=30):
        deadline = time.monotonic() + within
        while (left := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(left, [], f"still running after {within} s")

    def spawn(self, command, name, cwd=None, **variables):
        """Starts a command in the background; the process has .log (both outputs)."""
        log = self.tmp / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen([*map(os.fspath, command)], cwd=cwd or self.tmp, env=self.env(**variables), stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT)
        process.log = log
        self.addCleanup(self.end, process)
        return process

    def start_ranks(self, size, *arguments, per_rank=None, port=None, prefix=(), cwd=None, **extra):
        """Starts `size` ranks by hand. per_rank: rank -> its own arguments, instead of the common ones. Processes have .log (both outputs)."""
        port = port or free_port()
        return [self.spawn([*prefix, VMAE, *(per_rank or {}).get(rank, arguments)], f"rank{rank}-{port}", cwd,
                           **rank_environment(rank, size, port, **extra)) for rank in range(size)]

    def wait_ranks(self, processes, expect, timeout=120):
        """Waits for all; expect: one exit code for all of them, or a list."""
        deadline = time.monotonic() + timeout
        codes = []
        for process in processes:
            try:
                codes.append(process.wait(max(0.1, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append("running")
        wanted = expect if isinstance(expect, list) else [expect] * len(processes)
        self.assertEqual(codes, wanted, "\n".join(f"--- {p.log.name}\n{p.log.read_text(errors='replace')[-1500:]}" for p in processes))

    def train(self, size, *arguments, expect=0, timeout=180, cwd=None):
        """`vmae ARGUMENTS` on `size` ranks to its end; returns what rank 0 printed. One rank: the plain program."""
        processes = self.start_ranks(size, *arguments, cwd=cwd) if size > 1 else [self.start_alone(*arguments, cwd=cwd)]
        self.wait_ranks(processes, expect, timeout)
        for other in processes[1:]:
            self.assertEqual(other.log.read_text(), "", "ranks other than 0 print nothing")
        return processes[0].log.read_text()

    def start_alone(self, *arguments, cwd=None):
        return self.spawn([VMAE, *arguments], f"alone-{free_port()}", cwd)

    def start_torchrun(self, size, *arguments, restarts=0, cwd=None):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", "--nproc-per-node", str(size), "--max-restarts", str(restarts),
                   "--monitor-interval", "0.1", VMAE, *arguments]
        return self.spawn(command, f"torchrun-{free_port()}", cwd)

    def ranks_of(self, launcher):
        """Ranks that a launcher (its pid) has running now: rank -> pid."""
        found = {}
        for pid in marked(self.mark):
            try:
                is_child = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) == launcher
                is_vmae = os.readlink(f"/proc/{pid}/exe").startswith(str(VMAE))
            except OSError:
                continue
            if is_child and is_vmae and (rank := variable(pid, "RANK")):
                found[int(rank)] = pid
        return found


def tiny_run(data, run, *extra):
    """A short pretraining run of a tiny model; one thread per rank."""
    return ["pretrain", *TINY, f"data.train={data}", f"run.dir={run}", "data.workers=1", *extra]


IMAGES = 19  # one of them for validation: 5 steps an epoch, the last of two samples


class RanksKilledTest(RanksTest):
    """Runs have the same relative run.dir and different working folders, so that even the config in a checkpoint is the same."""

    def folder(self, name):
        make_pictures(self.tmp / name / "images", IMAGES)
        return self.tmp / name

    def assert_same_end(self, first, second):
        self.assert_same_checkpoint(first / "run/checkpoints/last.safetensors", second / "run/checkpoints/last.safetensors")
        self.assert_same_metrics(first / "run", second / "run")

    def wait_step(self, folder, step, process):
        self.assertTrue(self.wait_for(lambda: last_step(folder / "run") >= step, process, f"step {step}"), f"ended before step {step}")

    def wait_ranks_of(self, launcher, size):
        """Ranks of a launcher, once all are there and ready for signals."""
        self.assertTrue(self.wait_for(lambda: len(self.ranks_of(launcher.pid)) == size, launcher, f"{size} ranks"), launcher.log)
        return self.ranks_of(launcher.pid)

    def assert_silent(self, processes):
        for process in processes:
            self.assertEqual(process.log.read_text(), "", "ranks other than 0 print nothing")
