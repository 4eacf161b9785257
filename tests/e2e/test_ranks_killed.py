# SPDX-License-Identifier: Apache-2.0
"""Ranks that are killed, stopped, stalled, or fail alone: every run ends as documented, within bounds, and what is resumed ends as if nothing had happened."""
import json
import os
import signal
import time
import unittest
from pathlib import Path

from harness import SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2, VMAE, checkpoint_step, last_step, make_pictures
from ranks import IMAGES, RanksKilledTest, free_port, rank_environment, tiny_run

SIGSTOP, SIGCONT = signal.SIGSTOP, signal.SIGCONT


def connections(port):
    """How many connections there are to this port of this machine."""
    established = "01"
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    return sum(int(line[2].rsplit(":", 1)[1], 16) == port and line[3] == established for line in lines)


class StopTest(RanksKilledTest):
    RUN = tiny_run("images", "run", "train.epochs=24", "train.save_every_minutes=1000")

    def stop(self, folder, size, number, whom, *how):
        """Starts, sends the signal to the ranks in `whom` after three steps, and checks that all stop with that step saved."""
        before = checkpoint_step(folder / "run") or 0
        processes = self.start_ranks(size, *self.RUN, *how, cwd=folder)
        self.wait_step(folder, before + 3, processes[0])
        for rank in whom:
            processes[rank].send_signal(number)
        self.wait_ranks(processes, 75, timeout=30)
        step = checkpoint_step(folder / "run")
        self.assertGreaterEqual(step, before + 3)
        self.assertEqual(step, last_step(folder / "run"), "the step that was made is saved")
        self.assertRegex(processes[0].log.read_text(), rf"stopped by .* at step {step} of 120; continue with --resume")
        self.assert_silent(processes[1:])
        return processes[0].log.read_text()

    def test_signals_stop_all_ranks_at_the_same_step(self):
        """One run of three ranks: SIGTERM to one of them, SIGUSR1 to all, SIGUSR2 to rank 0, Ctrl-C to all; resumed each time."""
        undisturbed, stopped = self.folder("undisturbed"), self.folder("stopped")
        self.train(3, *self.RUN, cwd=undisturbed)
        self.assertIn("a signal to another rank", self.stop(stopped, 3, SIGTERM, [2]))
        self.assertIn("SIGUSR1", self.stop(stopped, 3, SIGUSR1, [0, 1, 2], "--resume"))
        self.assertIn("SIGUSR2", self.stop(stopped, 3, SIGUSR2, [0], "--resume"))
        self.assertIn("SIGINT", self.stop(stopped, 3, SIGINT, [0, 1, 2], "--resume"))
        self.train(3, *self.RUN, "--resume", cwd=stopped)
        self.assert_same_end(undisturbed, stopped)
        self.assert_no_orphans()

    def test_stop_while_waiting_for_other_ranks(self):
        """SIGTERM to a rank whose others never start: it ends soon, and says so."""
        folder = self.folder("waiting")
        for rank in (0, 1):
            with self.subTest(rank=rank):
                process = self.spawn([VMAE, *self.RUN], f"waiting{rank}", folder, **rank_environment(rank, 2, free_port()))
                time.sleep(2)
                process.send_signal(SIGTERM)
                self.wait_ranks([process], 75, timeout=15)
                self.assertIn("stopped by SIGTERM before all ranks were there", process.log.read_text())
        self.assert_no_orphans()

    def test_an_agreed_stop_is_no_failure_for_torchrun(self):
        """SIGTERM to rank 1: torchrun ends with 0, and starts nothing again though it could."""
        undisturbed, stopped = self.folder("undisturbed"), self.folder("stopped")
        launcher = self.start_torchrun(2, *self.RUN, restarts=3, cwd=stopped)
        self.wait_step(stopped, 3, launcher)
        os.kill(self.ranks_of(launcher.pid)[1], SIGTERM)
        self.wait_exit(launcher, 0, timeout=40)
        self.assertEqual(launcher.log.read_text().count("started by torchrun"), 1)
        step = checkpoint_step(stopped / "run")
        self.assertEqual(step, last_step(stopped / "run"))
        self.assertIn(f"stopped by a signal to another rank at step {step} of 120", launcher.log.read_text())
        self.train(2, *self.RUN, cwd=undisturbed)
        self.train(2, *self.RUN, "--resume", cwd=stopped)
        self.assert_same_end(undisturbed, stopped)
        self.assert_no_orphans()


class FailTest(RanksKilledTest):
    """A rank that fails: its code on all ranks, its message once, from rank 0."""

    def setUp(self):
        super().setUp()
        self.work = self.folder("work")

    def fail_alone(self, rank, code, *own, size=3):
        """One rank has its own arguments and fails; returns what rank 0 printed of it."""
        processes = self.start_ranks(size, *tiny_run("images", "run"), per_rank={rank: [*tiny_run("images", "run"), *own]}, cwd=self.work)
        self.wait_ranks(processes, code, timeout=30)
        self.assert_silent(processes[1:])
        errors = [line for line in processes[0].log.read_text().splitlines() if " error " in line]
        self.assertRegex(errors[0], rf"error rank {rank} of {size} \(\S+\): ")
        self.assertEqual(sum(f"of {size} (" in line for line in errors), 1, errors)
        self.assert_no_orphans()
        return "\n".join(errors)

    def test_data_folder_is_missing(self):
        self.assertIn("nowhere", self.fail_alone(1, 3, "data.train=nowhere"))

    def test_config_file_is_missing(self):
        self.assertIn("missing.yaml", self.fail_alone(2, 2, "--config", "missing.yaml"))

    def test_other_files(self):
        """A rank that sees one file less: all ranks end with 3."""
        make_pictures(self.work / "fewer", IMAGES - 1)
        processes = self.start_ranks(2, *tiny_run("images", "run"), per_rank={1: tiny_run("fewer", "run")}, cwd=self.work)
        self.wait_ranks(processes, 3, timeout=30)
        self.assertRegex(processes[0].log.read_text(), r"rank 1 .*sees other training files")
        self.assert_silent(processes[1:])
        self.assert_no_orphans()

    def test_broken_file(self):
        """One that a single rank finds broken, when the ranks have met and read their first batch."""
        make_pictures(self.work / "broken", IMAGES)
        for file in (self.work / "broken").iterdir():
            file.write_bytes(file.read_bytes()[:900])
        self.assertRegex(self.fail_alone(1, 3, "data.train=broken", size=2), r"1 of 19 files can't be read.*case\d+\.png")

    # A weight decay that multiplies the weights by -9 a step.
    EXPLOSION = ["optim.lr=10", "optim.weight_decay=1", "train.epochs=200", "train.save_every_steps=1"]

    def check_explosion(self, printed):
        self.assertRegex(printed, r"the (loss|gradient) became (inf|nan|-nan) at step \d+")
        self.assertEqual(printed.count(" became "), 1, "all ranks say the same: it is printed once")
        report = json.loads((self.work / "run/non_finite.json").read_text())
        self.assertEqual(checkpoint_step(self.work / "run"), report["step"], "the state before the step that failed")
        self.assertEqual(len(report["samples"]), len(set(report["samples"])))
        self.assertLessEqual(set(report["samples"]), {f"case{i:03d}.png" for i in range(IMAGES)})
        return report

    def test_non_finite_loss(self):
        """All ranks end with 5, and the report lists the samples of all: of a single process, in whatever order, the same."""
        reports = []
        for size in (3, 1):
            printed = self.train(size, *tiny_run("images", "run", *self.EXPLOSION, "--overwrite"), expect=5, cwd=self.work)
            reports.append(self.check_explosion(printed))
            self.assertEqual(len(reports[-1]["samples"]), 2 if reports[-1]["step"] % 5 == 4 else 4)
        self.assertEqual(reports[0]["step"], reports[1]["step"])
        self.assertEqual(sorted(reports[0]["samples"]), sorted(reports[1]["samples"]))
        self.assert_no_orphans()

    def test_non_finite_loss_under_the_launcher(self):
        launcher = self.start_alone(*tiny_run("images", "run", *self.EXPLOSION), "--nproc-per-node", "2", cwd=self.work)
        self.wait_exit(launcher, 5, timeout=60)
        self.check_explosion(launcher.log.read_text())
        self.assert_no_orphans()

    def test_data_folder_is_missing_under_the_launcher(self):
        launcher = self.start_alone(*tiny_run("nowhere", "run"), "--nproc-per-node", "2", cwd=self.work)
        self.wait_exit(launcher, 3, timeout=30)
        log = launcher.log.read_text()
        self.assertEqual(log.count(" error "), 1 + log.count(" error   "), f"one error, and its hint:\n{log}")
        self.assertIn("nowhere", log)
        self.assert_no_orphans()


class LostTest(RanksKilledTest):
    """A rank that is gone or does not answer."""

    LONG = tiny_run("images", "run", "train.epochs=100000")

    def setUp(self):
        super().setUp()
        self.work = self.folder("work")

    def lose(self, rank, number, *more, size=3, after=2):
        """Sends the signal to one rank of a run; returns the others."""
        processes = self.start_ranks(size, *self.LONG, *more, cwd=self.work)
        if after:
            self.wait_step(self.work, after, processes[0])
        processes[rank].send_signal(number)
        return processes[rank], [p for p in processes if p is not processes[rank]]

    def test_stalled_rank(self):
        """SIGSTOP for longer than run.timeout_s; when it wakes, it ends too."""
        stalled, others = self.lose(1, SIGSTOP, "run.timeout_s=5")
        self.wait_ranks(others, 1, timeout=30)
        self.assertRegex(others[0].log.read_text(), r"error lost contact with rank 1 \(\S+\) of 3")
        self.assert_silent(others[1:])
        self.assertIsNone(stalled.poll())
        stalled.send_signal(SIGCONT)
        self.wait_ranks([stalled], 1, timeout=30)
        self.assert_no_orphans()

    def test_stalled_rank_0(self):
        stalled, others = self.lose(0, SIGSTOP, "run.timeout_s=5")
        self.wait_ranks(others, 1, timeout=30)
        self.assertRegex("".join(p.log.read_text() for p in others), r"rank [12] of 3 \(\S+\):? .*")
        stalled.send_signal(SIGCONT)
        self.wait_ranks([stalled], 1, timeout=30)
        self.assert_no_orphans()

    def test_a_short_stall_is_no_failure(self):
        """One that ends before the time-out: training goes on, and ends as if nothing had happened."""
        run = tiny_run("images", "run", "train.epochs=8", "run.timeout_s=20")
        processes = self.start_ranks(2, *run, cwd=self.work)
        self.wait_step(self.work, 2, processes[0])
        processes[1].send_signal(SIGSTOP)
        time.sleep(4)
        self.assertIsNone(processes[0].poll())
        processes[1].send_signal(SIGCONT)
        self.wait_ranks(processes, 0, timeout=60)
        undisturbed = self.folder("undisturbed")
        self.train(2, *run, cwd=undisturbed)
        self.assert_same_end(undisturbed, self.work)
        self.assert_no_orphans()

    def test_killed_rank_with_the_default_timeout(self):
        """Found long before run.timeout_s, which is ten minutes; --resume goes on."""
        _, others = self.lose(2, SIGKILL)
        self.wait_ranks(others, 1, timeout=45)
        log = others[0].log.read_text()
        self.assertRegex(log, r"error lost contact with rank 2 \(\S+\) of 3")
        self.assertIn("--resume", log)
        self.assert_silent(others[1:])
        self.assert_no_orphans()
        step = checkpoint_step(self.work / "run")
        resumed = self.start_ranks(3, *self.LONG, "--resume", cwd=self.work)
        self.wait_step(self.work, last_step(self.work / "run") + 1, resumed[0])
        self.assertIn(f"resumed at step {step}", resumed[0].log.read_text())
        resumed[0].send_signal(SIGTERM)
        self.wait_ranks(resumed, 75, timeout=30)

    def test_killed_rank_0(self):
        """The others end at once and say so themselves, as rank 0 can't."""
        _, others = self.lose(0, SIGKILL)
        self.wait_ranks(others, 1, timeout=20)
        for rank, process in enumerate(others, 1):
            self.assertRegex(process.log.read_text(), rf"error rank {rank} of 3 \(\S+\): ")
        self.assert_no_orphans()

    def test_killed_before_the_first_step(self):
        """While ranks find each other or read their files, once they are connected to rank 0: bounded by run.timeout_s."""
        for rank, pause in [(1, 0.0), (0, 0.0), (1, 0.1), (0, 0.1), (1, 0.2), (0, 0.2)]:
            with self.subTest(rank=rank, pause=pause):
                port = free_port()
                processes = self.start_ranks(2, *self.LONG, "--overwrite", "run.timeout_s=5", port=port, cwd=self.work)
                self.assertTrue(self.wait_for(lambda: connections(port) >= 4, processes[0], "two connections of each rank"))
                time.sleep(pause)
                processes[rank].send_signal(SIGKILL)
                self.wait_ranks([processes[1 - rank]], 1, timeout=30)
                self.assertRegex(processes[1 - rank].log.read_text(), r" error .*rank [01]")
        self.assert_no_orphans()


class LauncherTest(RanksKilledTest):
    """`--nproc-per-node 2`: nothing outlives it, whatever dies first."""

    RUN = tiny_run("images", "run", "train.epochs=30", "train.save_every_minutes=1000", "--nproc-per-node", "2")

    def launch(self, folder, *more):
        launcher = self.start_alone(*self.RUN, *more, cwd=folder)
        self.wait_step(folder, 3, launcher)
        return launcher, self.wait_ranks_of(launcher, 2)

    def setUp(self):
        super().setUp()
        self.work = self.folder("work")

    def finish(self):
        """--resume goes on to the end, which is that of an undisturbed run."""
        undisturbed = self.folder("undisturbed")
        self.wait_exit(self.start_alone(*self.RUN, cwd=undisturbed), 0)
        launcher = self.start_alone(*self.RUN, "--resume", cwd=self.work)
        self.wait_exit(launcher, 0)
        self.assertIn("resumed at step", launcher.log.read_text())
        self.assert_same_end(undisturbed, self.work)

    def test_launcher_killed(self):
        """SIGKILL: its ranks stop as at SIGTERM, with a checkpoint."""
        launcher, _ = self.launch(self.work)
        launcher.kill()
        self.assertEqual(launcher.wait(), -SIGKILL)
        self.assert_no_orphans(within=20)
        step = checkpoint_step(self.work / "run")
        self.assertGreaterEqual(step, 3)
        self.assertEqual(step, last_step(self.work / "run"), "saved before the end")
        self.assertLess(step, 150)
        self.finish()

    def test_launcher_killed_while_it_starts(self):
        """At whatever moment, even when one rank is there and the other is not."""
        for pause in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.2):
            with self.subTest(pause=pause):
                launcher = self.start_alone(*self.RUN, "--overwrite", "train.epochs=100000", cwd=self.work)
                time.sleep(pause)
                launcher.kill()
                launcher.wait()
                self.assert_no_orphans(within=20)

    def test_launcher_stopped_by_sigterm(self):
        launcher, _ = self.launch(self.work)
        launcher.send_signal(SIGTERM)
        self.wait_exit(launcher, 75, timeout=30)
        step = checkpoint_step(self.work / "run")
        self.assertEqual(step, last_step(self.work / "run"))
        self.assertIn(f"stopped by SIGTERM at step {step} of 150", launcher.log.read_text())
        self.assert_no_orphans(within=1)
        self.finish()

    def test_rank_killed(self):
        """The launcher says which, by which signal; rank 0 says what that meant for it."""
        launcher, ranks = self.launch(self.work, "train.epochs=100000")
        os.kill(ranks[1], SIGKILL)
        self.wait_exit(launcher, 1, timeout=30)
        self.assertRegex(launcher.log.read_text(), r"error rank 1 of 2 was ended by signal 9")
        self.assertRegex(launcher.log.read_text(), r"error lost contact with rank 1 \(\S+\) of 2")
        self.assert_no_orphans(within=1)

    def test_rank_0_killed(self):
        launcher, ranks = self.launch(self.work, "train.epochs=100000")
        os.kill(ranks[0], SIGKILL)
        self.wait_exit(launcher, 1, timeout=30)
        self.assertRegex(launcher.log.read_text(), r"error rank 0 of 2 was ended by signal 9")
        self.assert_no_orphans(within=1)

    def test_rank_stalled(self):
        """SIGSTOP: the other finds it after run.timeout_s, and the launcher kills the stopped one."""
        for rank in (1, 0):
            with self.subTest(rank=rank):
                launcher, ranks = self.launch(self.folder(f"stalled{rank}"), "train.epochs=100000", "run.timeout_s=5")
                os.kill(ranks[rank], SIGSTOP)
                self.wait_exit(launcher, 1, timeout=45)
                if rank == 1:
                    self.assertRegex(launcher.log.read_text(), r"error lost contact with rank 1 \(\S+\) of 2")
                self.assert_no_orphans(within=1)

    def test_launcher_killed_with_a_stalled_rank(self):
        """Nobody is left to kill the stopped rank; when it wakes it ends, and the other has ended long before."""
        launcher, ranks = self.launch(self.work, "train.epochs=100000", "run.timeout_s=5")
        os.kill(ranks[1], SIGSTOP)
        launcher.kill()
        launcher.wait()
        deadline = time.monotonic() + 40
        while os.path.exists(f"/proc/{ranks[0]}") and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertFalse(os.path.exists(f"/proc/{ranks[0]}"), "rank 0 is still there")
        os.kill(ranks[1], SIGCONT)
        self.assert_no_orphans()


if __name__ == "__main__":
    unittest.main()
