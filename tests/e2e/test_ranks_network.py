# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces as hosts: training over a link between them, which is cut in the middle, and goes on when it is back."""
import os
import shutil
import subprocess
import time
import unittest

from harness import SHALLOW, VMAE, checkpoint_step, last_step, make_pictures
from ranks import RanksTest, rank_environment, tiny_run

NODES = ("10.91.7.1", "10.91.7.2")


def ip(*arguments):
    return subprocess.run(["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)


def why_not():
    """Why namespaces can't be used here; empty: they can."""
    if not shutil.which("ip"):
        return "no ip command (iproute2)"
    name = f"vmae-try{os.getpid()}"
    try:
        for command in (["netns", "add", name], ["-n", name, "link", "add", "try0", "type", "veth", "peer", "name", "try1"],
                        ["netns", "exec", name, "unshare", "--uts", "sh", "-c", "echo try >/proc/sys/kernel/hostname"]):
            if (done := ip(*command)).returncode != 0:
                return f"ip {' '.join(command)}: {done.stderr.strip()}"
    finally:
        ip("netns", "del", name)
    return ""


REASON = why_not()


@unittest.skipIf(REASON, REASON)
class NetworkTest(RanksTest):
    """2 nodes x 2 ranks."""

    RUN = tiny_run("images", "run", "train.epochs=20", "train.save_every_steps=10", "run.timeout_s=8", SHALLOW)

    def setUp(self):
        super().setUp()
        self.names = [f"vmae-{os.getpid()}-{node}" for node in range(2)]
        for name in self.names:
            self.addCleanup(ip, "netns", "del", name)
            self.ip("netns", "add", name)
        self.addCleanup(self.kill_all)  # before the namespaces go
        self.ip("-n", self.names[0], "link", "add", "node0", "type", "veth", "peer", "name", "node1", "netns", self.names[1])
        for node, (name, address) in enumerate(zip(self.names, NODES)):
            self.ip("-n", name, "addr", "add", f"{address}/24", "dev", f"node{node}")
            self.ip("-n", name, "link", "set", f"node{node}", "up")
            self.ip("-n", name, "link", "set", "lo", "up")

    def ip(self, *arguments):
        done = ip(*arguments)
        self.assertEqual(done.returncode, 0, f"ip {' '.join(arguments)}: {done.stderr}")

    def folder(self, name):
        make_pictures(self.tmp / name / "images", 19)
        return self.tmp / name

    def on_node(self, node):
        """What makes a command run there, under a host name of its own."""
        return ["ip", "netns", "exec", self.names[node], "unshare", "--uts", "sh", "-c", f'echo node{node} >/proc/sys/kernel/hostname; exec "$@"', "sh"]

    def start_nodes(self, folder, *more):
        """Rank 0 and 1 on the first node, 2 and 3 on the second."""
        return [self.spawn([*self.on_node(rank // 2), VMAE, *self.RUN, *more], f"rank{rank}-{folder.name}{len(more)}", folder,
                           **rank_environment(rank, 4, 29511, address=NODES[0], local_rank=rank % 2)) for rank in range(4)]

    def wait_step(self, folder, step, process):
        self.assertTrue(self.wait_for(lambda: last_step(folder / "run") >= step, process, f"step {step}"), process.log.read_text()[-3000:])

    def set_link(self, state):
        self.ip("-n", self.names[0], "link", "set", "node0", state)

    def test_link_is_cut_and_comes_back(self):
        """Every rank ends with 1 in bounded time; resumed, the run ends bit for bit like an undisturbed one."""
        cut, undisturbed = self.folder("cut"), self.folder("undisturbed")
        processes = self.start_nodes(cut)
        self.wait_step(cut, 25, processes[0])
        self.set_link("down")
        start = time.monotonic()
        self.wait_ranks(processes, 1, timeout=8 + 25)
        self.assertLess(last_step(cut / "run"), 100)
        message = processes[0].log.read_text()
        self.assertRegex(message, r"error lost contact with ranks? 2 \(\S+\), 3 \(\S+\) of 4", f"after {time.monotonic() - start:.1f} s")
        self.assertNotIn(" error ", processes[1].log.read_text(), "rank 0 speaks for those that reach it")
        for rank in (2, 3):
            self.assertRegex(processes[rank].log.read_text(), rf"error rank {rank} of 4 \(\S+\): ", "cut off from rank 0, they speak for themselves")
        self.assert_no_orphans(within=1)

        self.set_link("up")
        step = checkpoint_step(cut / "run")
        self.assertGreaterEqual(step, 20)
        processes = self.start_nodes(cut, "--resume")
        self.wait_ranks(processes, 0)
        self.assertIn(f"resumed at step {step}", processes[0].log.read_text())
        self.wait_ranks(self.start_nodes(undisturbed), 0)
        self.assert_same_checkpoint(undisturbed / "run/checkpoints/last.safetensors", cut / "run/checkpoints/last.safetensors")
        self.assert_same_metrics(undisturbed / "run", cut / "run")
        self.assert_no_orphans()

    def test_a_short_cut_is_no_failure(self):
        """The link is gone for less than the time-out: what was sent is sent again, and the run ends as if nothing had happened."""
        cut, undisturbed = self.folder("cut"), self.folder("undisturbed")
        processes = self.start_nodes(cut, "run.timeout_s=60")
        self.wait_step(cut, 10, processes[0])
        self.set_link("down")
        time.sleep(2)
        before = last_step(cut / "run")
        time.sleep(1)
        self.assertEqual(last_step(cut / "run"), before, "training waits")
        self.set_link("up")
        self.wait_ranks(processes, 0)
        self.wait_ranks(self.start_nodes(undisturbed, "run.timeout_s=60"), 0)
        self.assert_same_checkpoint(undisturbed / "run/checkpoints/last.safetensors", cut / "run/checkpoints/last.safetensors")
        self.assert_same_metrics(undisturbed / "run", cut / "run")
        self.assert_no_orphans()


if __name__ == "__main__":
    unittest.main()
