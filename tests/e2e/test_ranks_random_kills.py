# SPDX-License-Identifier: Apache-2.0
"""Ranks killed at random moments, again and again, under torchrun with restarts: every run ends as if nothing had happened. VMAE_KILLS: how many."""
import os
import random
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import SHALLOW, SIGKILL, last_step
from ranks import RanksKilledTest, tiny_run, variable

KILLS = int(os.environ.get("VMAE_KILLS", "50"))
HANGS_S = 600  # four runs at once, of two ranks each, are slow on a machine with other work


class RandomKillTest(RanksKilledTest):
    RUN = tiny_run("images", "run", "train.epochs=110", "train.save_every_steps=2", SHALLOW)
    AT_ONCE, KILLS_PER_RUN = 3, 17

    def wait_round(self, launcher, number):
        """Both ranks of torchrun's round `number`; None: torchrun ended first."""
        deadline = time.monotonic() + HANGS_S
        while launcher.poll() is None:
            ranks = self.ranks_of(launcher.pid)
            rounds = [int(variable(pid, "TORCHELASTIC_RESTART_COUNT") or 0) for pid in ranks.values()]
            self.assertLessEqual(max(rounds, default=0), number, "more restarts than kills")
            if rounds == [number, number]:
                return ranks
            self.assertLess(time.monotonic(), deadline, f"round {number} did not begin: {launcher.log.read_text()[-3000:]}")
            time.sleep(0.05)
        return None

    def run_with_kills(self, seed, number, reference):
        """One run under torchrun, in which up to `number` kills hit a rank; compared with the reference. Returns how many hit, and how many inside the run."""
        draw, folder, moments, hits = random.Random(seed), self.folder(f"killed{seed}"), [], 0
        launcher = self.start_torchrun(2, *self.RUN, restarts=number, cwd=folder)
        try:
            ranks = self.wait_round(launcher, 0)
            while ranks and hits < number:
                rank, steps = draw.randrange(2), draw.choice([0, draw.randint(1, 30)])
                if steps:  # within training, else while starting or training
                    goal = last_step(folder / "run") + steps
                    self.wait_for(lambda: last_step(folder / "run") >= goal, launcher, f"step {goal}", every=0.02)
                pause = draw.uniform(0.0, 0.05 if steps else 1.2)
                time.sleep(pause)
                moments.append(f"rank {rank}, {steps} steps and {pause:.3f} s after the start, at step {last_step(folder / 'run')}")
                try:
                    os.kill(ranks[rank], SIGKILL)
                except ProcessLookupError:
                    pass  # it has just finished
                ranks = self.wait_round(launcher, hits + 1)
                hits += ranks is not None
            self.wait_exit(launcher, 0, timeout=HANGS_S)  # as many restarts as kills were allowed: nothing else made a rank fail
            log = launcher.log.read_text()
            self.assertEqual(log.count("failed (exitcode: -9)"), hits, log[-5000:])
            self.assert_same_end(reference.result(), folder)
            self.assert_no_leftovers(folder / "run")
        except BaseException:
            print(f"seed {seed}, kills:", *moments, sep="\n  ", flush=True)
            raise
        return hits, log.count("resumed at step")

    def undisturbed(self):
        folder = self.folder("undisturbed")
        self.train(2, *self.RUN, cwd=folder, timeout=HANGS_S)
        self.assertEqual(last_step(folder / "run"), 550)
        return folder

    def test_random_ranks_killed_at_random_moments_under_torchrun(self):
        """Three runs at a time, mostly waiting for torchrun, until enough kills have hit."""
        hits = resumed = seed = 0
        with ThreadPoolExecutor(self.AT_ONCE + 1) as pool:
            reference = pool.submit(self.undisturbed)
            while hits < KILLS:
                self.assertLess(seed, KILLS + 2, f"only {hits} kills hit")
                left = [min(self.KILLS_PER_RUN, KILLS - hits - i * self.KILLS_PER_RUN) for i in range(self.AT_ONCE)]
                sizes = [size for size in left if size > 0]
                for future in [pool.submit(self.run_with_kills, seed + i, size, reference) for i, size in enumerate(sizes)]:
                    of_run = future.result()
                    hits, resumed = hits + of_run[0], resumed + of_run[1]
                seed += len(sizes)
        self.assertEqual(hits, KILLS)
        self.assertGreater(resumed, hits // 3, "kills inside the run")
        self.assert_no_orphans()


if __name__ == "__main__":
    unittest.main()
