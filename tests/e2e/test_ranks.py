# SPDX-License-Identifier: Apache-2.0
"""Several ranks train as one process does: gradients, losses, uneven batches, resumption; and the ways to start them."""
import json
import unittest

import numpy as np

from harness import SHALLOW, SIGTERM, checkpoint_step, last_step, make_pictures, metrics, read_arrays
from ranks import VMAE, RanksTest, free_port, rank_environment, tiny_run

BETA1 = 0.9
WORD = 2**64 - 1


def mix(x):
    """SplitMix64's finaliser."""
    x = (x + 0x9e3779b97f4a7c15) & WORD
    x = ((x ^ x >> 30) * 0xbf58476d1ce4e5b9) & WORD
    x = ((x ^ x >> 27) * 0x94d049bb133111eb) & WORD
    return x ^ x >> 31


def epoch_order(count, seed, epoch):
    """The order in which an epoch takes the samples: docs/architecture.md."""
    key = mix(mix(mix(seed) ^ 1) ^ epoch)
    order, counter = list(range(count)), 0
    for i in range(count, 1, -1):
        bits = mix((key + 0x9e3779b97f4a7c15 * counter) & WORD)
        other, counter = bits * i >> 64, counter + 1
        order[i - 1], order[other] = order[other], order[i - 1]
    return order


def last_arrays(run):
    arrays = read_arrays(run / "checkpoints/last.safetensors")
    arrays.pop("state.generator")
    return arrays


def gradients_of(run):
    """After one step: exp_avg is (1 - beta1) times the gradient."""
    return {key: array / (1 - BETA1) for key, array in last_arrays(run).items() if key.startswith("optimizer.exp_avg.")}


class SeveralRanksTest(RanksTest):
    def pretrain(self, size, run, *more, images=24, **kw):
        make_pictures(self.tmp / "images", images)
        self.train(size, *tiny_run("images", run, "train.batch_size=8", SHALLOW, *more), **kw)
        return self.tmp / run

    def curve(self, run, key="loss", kind="train"):
        return np.array([line[key] for line in metrics(run, kind)])

    def assert_same_curve(self, first, second, relative=1e-5):
        for key in ("loss", "grad_norm"):
            a, b = self.curve(first, key), self.curve(second, key)
            self.assertEqual(a.shape, b.shape, "the same number of steps")
            self.assertLess(np.max(np.abs(a - b) / np.abs(b)), relative if key == "loss" else 20 * relative, key)


class TrainingTest(SeveralRanksTest):
    def test_gradients_are_those_of_one_process(self):
        """To 1e-6, also where 5 samples go to 2 or 4 ranks; accumulated from micro-batches of 1, which adds up in another order, to 3e-6."""
        for batch in (8, 5):
            options = ["train.max_steps=1", f"train.batch_size={batch}", "model.depths=[2,2,2,2]"]
            expected = gradients_of(self.pretrain(1, f"one{batch}", *options))
            self.assertGreater(max(np.abs(array).max() for array in expected.values()), 1e-2)
            for size, micro in ((2, 0), (4, 0), (2, 1), (1, 1), (3, 0)):
                run = self.pretrain(size, f"run{batch}-{size}-{micro}", *options, f"train.micro_batch={micro}")
                for key, array in gradients_of(run).items():
                    self.assertLess(np.abs(array - expected[key]).max(), 3e-6 if micro else 1e-6, f"{key}, batch {batch}, {size} ranks, micro-batches of {micro}")

    def test_fifty_steps_follow_one_curve(self):
        one = self.pretrain(1, "one", "train.epochs=50", "train.max_steps=50")
        self.assertEqual(last_step(one), 50)
        expected = last_arrays(one)
        for size, micro in ((2, 0), (4, 0), (2, 2)):
            run = self.pretrain(size, f"run{size}-{micro}", "train.epochs=50", "train.max_steps=50", f"train.micro_batch={micro}")
            self.assert_same_curve(run, one)
            difference = max(np.abs(array - expected[key]).max() for key, array in last_arrays(run).items())
            self.assertLess(difference, 1e-3, "weights and moments after 50 steps")

    def test_every_sample_once_also_in_an_uneven_last_batch(self):
        """9 training images in batches of 8: the last has one sample, fewer than ranks."""
        one = self.pretrain(1, "one", "train.epochs=4", "data.val_fraction=0", images=9)
        self.assertEqual(last_step(one), 8)
        for size in (2, 3, 4):
            self.assert_same_curve(self.pretrain(size, f"run{size}", "train.epochs=4", "data.val_fraction=0", images=9), one)

    def test_a_validation_set_that_does_not_divide(self):
        losses = [self.curve(self.pretrain(size, f"run{size}", "train.max_steps=1", "data.val_fraction=0.3"), kind="val") for size in (1, 2, 4)]
        np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-6)

    def test_compressed_gradients_are_near(self):
        plain, compressed = (self.pretrain(2, f"run-{how}", "train.max_steps=10", "train.epochs=4", f"train.gradient_compression={how}") for how in ("none", "bf16"))
        a, b = self.curve(plain), self.curve(compressed)
        self.assertLess(np.max(np.abs(a - b) / a), 0.02)
        self.assertGreater(np.max(np.abs(a - b)), 0, "they are rounded")

    def test_rank_0_alone_writes(self):
        one, two = self.pretrain(1, "one"), self.pretrain(2, "two")
        names = [sorted(str(path.relative_to(run)) for path in run.rglob("*") if "tfevents" not in path.name) for run in (one, two)]
        self.assertEqual(*names)
        self.assertEqual(len(list(two.glob("events.out.tfevents.*"))), 1)
        self.assertIn("comm_wait_s", metrics(two, "train")[0])
        self.assertNotIn("comm_wait_s", metrics(one, "train")[0])

    def test_unreadable_pictures_are_listed_whoever_found_them(self):
        make_pictures(self.tmp / "images", 24)
        for index in (3, 4, 7):
            path = self.tmp / f"images/case{index:03d}.png"
            path.write_bytes(path.read_bytes()[:1000])
        self.train(2, *tiny_run("images", "two", "data.max_bad_fraction=0.5", "data.val_fraction=0"))
        listed = [json.loads(line)["file"] for line in (self.tmp / "two/quarantine.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(name.rsplit("/", 1)[-1] for name in listed), ["case003.png", "case004.png", "case007.png"])

    def test_what_one_rank_cannot_read_all_leave_out(self):
        """Each rank has its own copy of the pictures. A file that is broken in rank 1's alone, and that comes to rank 1 first, trains on no rank: the weights are
        those of runs in which both copies are broken. Comes it to rank 0 first, it trains there in that epoch and nowhere later."""
        options = tiny_run("images", "run", "data.max_bad_fraction=0.5", "data.val_fraction=0", "train.batch_size=4", "train.epochs=4", "data.flip_horizontal=0.5")
        first_epoch = epoch_order(12, seed=0, epoch=0)
        bad = [next(index for place, index in enumerate(first_epoch) if place % 2 == rank and index > 0) for rank in (0, 1)]

        def train(name, broken_of):
            folders = [self.tmp / name / f"host{rank}" for rank in (0, 1)]
            for folder, broken in zip(folders, broken_of):
                make_pictures(folder / "images", 12)
                for index in broken:
                    (folder / f"images/case{index:03d}.png").write_bytes(b"broken")
            port = free_port()
            self.wait_ranks([self.spawn([VMAE, *options], f"{name}{rank}", folder, **rank_environment(rank, 2, port)) for rank, folder in enumerate(folders)], 0)
            return folders[0] / "run"
        both = train("both", [[bad[1]], [bad[1]]])
        one = train("one", [[], [bad[1]]])
        self.assert_same_checkpoint(both / "checkpoints/last.safetensors", one / "checkpoints/last.safetensors")
        self.assertEqual(json.loads((one / "quarantine.jsonl").read_text())["file"].rsplit("/", 1)[-1], f"case{bad[1]:03d}.png")
        again, other = train("again", [[], [bad[0]]]), train("other", [[], [bad[0]]])
        self.assert_same_checkpoint(again / "checkpoints/last.safetensors", other / "checkpoints/last.safetensors")


class ResumeTest(SeveralRanksTest):
    def stopped(self, size, run, *more):
        """Stopped by a signal to the last rank after step 3 or later."""
        make_pictures(self.tmp / "images", 24)
        processes = self.start_ranks(size, *tiny_run("images", run, "train.batch_size=8", SHALLOW, *more))
        self.wait_for(lambda: last_step(self.tmp / run) >= 3, processes[0], "step 3")
        processes[-1].send_signal(SIGTERM)
        self.wait_ranks(processes, 75)
        return self.tmp / run

    def test_on_as_many_ranks_bit_for_bit(self):
        more = ["train.epochs=40", "train.validate_every=4", "model.drop_path_rate=0.3", "data.flip_horizontal=0.5"]
        for size in (2, 3):
            whole = self.pretrain(size, f"whole{size}", *more)
            parts = self.stopped(size, f"parts{size}", *more)
            self.assertLess(checkpoint_step(parts), last_step(whole))
            self.pretrain(size, f"parts{size}", *more, "--resume")
            self.assert_same_checkpoint(whole / "checkpoints/last.safetensors", parts / "checkpoints/last.safetensors", ignore_config=True, ignore_run=True)
            self.assert_same_metrics(whole, parts)

    def test_on_another_number_of_ranks_to_rounding(self):
        more = ["train.epochs=30", "train.validate_every=4"]
        whole = self.pretrain(2, "whole", *more)
        for size in (1, 4):
            parts = self.stopped(2, f"parts{size}", *more)
            self.pretrain(size, f"parts{size}", *more, "--resume")
            self.assert_same_curve(whole, parts, 1e-4)


class StartTest(SeveralRanksTest):
    def started(self, variables, *more, expect=0):
        """Two ranks with these variables; `variables(rank)`."""
        make_pictures(self.tmp / "images", 12)
        processes = [self.start("pretrain", *tiny_run("images", "run", "--overwrite", *more)[1:], env=self.env(**variables(rank))) for rank in range(2)]
        for process in processes:
            self.wait_exit(process, expect)
        return [process.log.read_text() for process in processes]

    def test_slurm(self):
        job = str(100000 + free_port() % 5000 + 4000)
        first, second = self.started(lambda rank: {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NTASKS": 2, "SLURM_JOB_NODELIST": "localhost", "SLURM_JOB_ID": job})
        self.assertIn("rank 0 of 2 (started by Slurm)", first)
        self.assertEqual(second, "")
        self.assertEqual((self.tmp / "run/.job").read_text(), f"Slurm {job}")

    def test_open_mpi(self):
        port = free_port()
        first, second = self.started(lambda rank: {"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_LOCAL_RANK": rank, "OMPI_COMM_WORLD_SIZE": 2,
                                                   "OMPI_COMM_WORLD_LOCAL_SIZE": 2, "MASTER_PORT": port})
        self.assertIn("started by Open MPI", first)
        self.assertEqual(second, "")

    def test_nproc_per_node(self):
        make_pictures(self.tmp / "images", 12)
        done = self.vmae(*tiny_run("images", "run", "--nproc-per-node", "2"), env=self.env())
        self.assertIn("rank 0 of 2 (started by --nproc-per-node)", done.stderr)
        self.assertIn("micro-batches of 2 on each of 2 ranks", done.stderr)

    def test_an_incomplete_environment_is_named(self):
        done = self.vmae("pretrain", env=self.env(RANK=0, WORLD_SIZE=2), expect=2)
        for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            self.assertIn(name, done.stderr)
        done = self.vmae("pretrain", "--nproc-per-node", "2", env=self.env(**rank_environment(0, 2, free_port())), expect=2)
        self.assertIn("leave --nproc-per-node out", done.stderr)

    def test_one_rank_is_the_plain_program(self):
        make_pictures(self.tmp / "images", 12)
        self.vmae(*tiny_run("images", "one"), env=self.env(**rank_environment(0, 1, free_port())))
        self.vmae(*tiny_run("images", "two"), env=self.env())
        self.assert_same_metrics(self.tmp / "one", self.tmp / "two")

    def test_what_is_printed_is_printed_once(self):
        make_pictures(self.tmp / "images", 12)
        done = self.vmae(*tiny_run("images", "run", "--nproc-per-node", "2", "--print-config"), env=self.env())
        self.assertEqual(done.stdout.count("gradient_compression:"), 1)
        done = self.vmae(*tiny_run("images", "run", "--nproc-per-node", "2", "--dry-run"), env=self.env())
        self.assertEqual(done.stderr.count("nothing was written"), 1)
        self.assertFalse((self.tmp / "run").exists())

    def test_doctor(self):
        done = self.vmae("doctor", "--distributed", "--nproc-per-node", "2", env=self.env())
        for text in ("2 rank(s)", "rank 0  ", "rank 1  ", "over Gloo, checked", "106.0 MiB", "all good"):
            self.assertIn(text, done.stdout)
        self.assertIn("one rank only", self.vmae("doctor", "--distributed", env=self.env(), expect=1).stdout)

    def test_more_ranks_than_samples_in_a_batch_are_refused(self):
        make_pictures(self.tmp / "images", 12)
        done = self.vmae(*tiny_run("images", "run", "--nproc-per-node", "3", "train.batch_size=2"), env=self.env(), expect=2)
        self.assertEqual(done.stderr.count("smaller than the number of ranks, 3"), 1)


if __name__ == "__main__":
    unittest.main()
