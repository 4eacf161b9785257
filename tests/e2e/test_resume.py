# SPDX-License-Identifier: Apache-2.0
"""A run that is killed or stopped, however often and wherever, and resumed, ends as if nothing had happened: bit for bit."""
import json
import math
import random
import shutil
import subprocess
import unittest
from pathlib import Path

from harness import (SHALLOW, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2, SOURCE, TINY, VmaeTest, at_point, checkpoint_step, last_step, make_pictures, metrics,
                     point_library, read_safetensors)

# 20 files, one of them broken, in batches of 6 by micro-batches of 3: the last step of an epoch has two samples. 4 steps an epoch.
EPOCHS, STEPS_PER_EPOCH = 5, 4
EVERYTHING_ON = [*TINY, SHALLOW, "data.train=images", "data.val=validation", "run.dir=run", f"train.epochs={EPOCHS}", "train.batch_size=6", "train.micro_batch=3",
                 "model.drop_path_rate=0.3", "data.flip_horizontal=0.5", "data.flip_vertical=0.5", "data.max_bad_fraction=0.1", "optim.clip_grad_norm=2",
                 "optim.warmup_epochs=1", "train.draw_every=2", "train.keep_every=3", "train.log_every=1"]


class ResumeTest(VmaeTest):
    """Runs have the same relative run.dir and different working folders, so that even the config in a checkpoint is the same."""

    def setUp(self):
        super().setUp()
        self.reference = self.tmp / "uninterrupted/run"
        self.work = self.tmp / "interrupted"
        self.run_dir = self.work / "run"
        self.make_data(self.work)

    def make_data(self, folder):
        make_pictures(folder / "images", 19)
        make_pictures(folder / "validation", 5, first=100)
        (folder / "images/broken.png").write_bytes((folder / "images/case000.png").read_bytes()[:900])
        return folder

    def run_uninterrupted(self, *more, env=None):
        folder = self.make_data(self.reference.parent)
        self.vmae("pretrain", *EVERYTHING_ON, *more, cwd=folder, env=env)
        self.assertEqual(last_step(self.reference), EPOCHS * STEPS_PER_EPOCH)

    def arguments(self, *more):
        """Of the next attempt: a new run until there is a checkpoint to go on from."""
        how = ["--resume"] if checkpoint_step(self.run_dir) is not None else ["--overwrite"]
        return ["pretrain", *how, *EVERYTHING_ON, *more]

    def finish(self, *more, ignore_config=False):
        """Resumes to the end and compares."""
        self.vmae(*self.arguments(*more), cwd=self.work)
        self.assert_same_run(self.reference, self.run_dir, ignore_config)
        self.assert_no_leftovers(self.run_dir)


class KillTest(ResumeTest):
    def kill_at_random_moments(self, seed, *more):
        """Kills after the next few steps and a random time more; every third time a random time after the start, be it while loading."""
        draw = random.Random(seed)
        killed, steps = 0, []
        for attempt in range(9):
            process = self.start(*self.arguments(*more), cwd=self.work)
            before = last_step(self.run_dir) if attempt else 0
            target = before + draw.randint(1, 4)
            if attempt % 3 == 2:
                pause = draw.uniform(0.1, 0.7)
            else:
                self.wait_for(lambda: last_step(self.run_dir) >= target, process, f"step {target}")
                pause = draw.uniform(0.0, 0.02)
            try:
                self.assertEqual(process.wait(pause), 0, process.log.read_text())
                break  # finished before it could be killed
            except subprocess.TimeoutExpired:
                process.send_signal(SIGKILL)
                code = process.wait()
                if code == 0:
                    break  # finished just before the signal came
                self.assertEqual(code, -SIGKILL)
                killed += 1
                steps.append(last_step(self.run_dir))
        self.assertGreaterEqual(killed, 3, f"too few kills arrived in time; at steps {steps}")
        self.assertTrue(any(0 < step < EPOCHS * STEPS_PER_EPOCH for step in steps), f"no kill was inside the run: {steps}")

    # The slower model gives signals from outside the time to arrive within a chosen step.
    SLOWER = ["model.embed_dim=12", "model.num_heads=[3,3,3,3]"]

    def test_killed_at_random_moments_fp32(self):
        more = [*self.SLOWER, "train.save_every_steps=1"]
        self.run_uninterrupted(*more)
        self.kill_at_random_moments(1, *more)
        self.finish(*more)

    def test_killed_at_random_moments_bf16_two_threads(self):
        more = ["train.save_every_steps=2", "train.precision=bf16", "run.threads=2"]
        self.run_uninterrupted(*more)
        self.kill_at_random_moments(2, *more)
        self.finish(*more)

    def test_killed_and_resumed_with_another_number_of_workers(self):
        more = ["train.save_every_steps=3"]
        self.run_uninterrupted(*more)
        for attempt, (workers, prefetch) in enumerate([(1, 1), (3, 8), (8, 2)]):
            args = self.arguments(*more, f"data.workers={workers}", f"data.prefetch={prefetch}")
            process = self.start(*args, cwd=self.work, env=at_point("write", "metrics.jsonl", 7, SIGKILL))
            self.wait_exit(process, -SIGKILL)
        self.finish(*more, "data.workers=5", ignore_config=True)


@unittest.skipUnless(point_library(), "needs a C compiler")
class KillPointTest(ResumeTest):
    """SIGKILL at exact calls: while a checkpoint is written, renamed, linked, and between a validation and the checkpoint after it."""

    def kill_at(self, point, *more):
        process = self.start(*self.arguments(*more), cwd=self.work, env=at_point(*point, SIGKILL))
        self.wait_exit(process, -SIGKILL)

    def kill_at_each(self, points, *more):
        self.run_uninterrupted(*more)
        for point in points:
            with self.subTest(point=point):
                before = checkpoint_step(self.run_dir)
                self.kill_at(point, *more)
                after = checkpoint_step(self.run_dir)  # reads the file, whole
                self.assertGreaterEqual(after or 0, before or 0)
        self.finish(*more)

    def test_killed_while_a_checkpoint_is_written(self):
        self.kill_at_each([
            ("/pwrite", "last.safetensors", 1),      # the first bytes of the first checkpoint
            ("pwrite", "last.safetensors", 900),     # inside the second
            ("/pwrite", "last.safetensors", 1200),
            ("fsync", "last.safetensors", 2),
            ("rename", "last.safetensors", 2),
            ("+rename", "last.safetensors", 2),
            ("link", "previous.tmp", 2),
            ("+link", "previous.tmp", 2),
            ("rename", "previous.safetensors", 2),
            ("+rename", "previous.safetensors", 2),
        ], "train.save_every_steps=1")

    def test_killed_while_a_resume_writes_the_other_files(self):
        """Every file that is written anew at a start; what was half written is gone afterwards."""
        self.kill_at_each([("/write", "metrics.jsonl", 3)] +
                          [("rename", name, 1) for name in ("env.json", "config.yaml", "data_card/card.html", "data_card/card.json")])

    def test_killed_around_the_end_of_an_epoch(self):
        """save_every_steps=2 saves at an epoch's last step, before its validation: the resumed run validates again."""
        self.kill_at_each([
            ("pwrite", "best.safetensors", 100),
            ("rename", "best.safetensors", 1),
            ("+rename", "best.safetensors", 1),
            ("write", "metrics.jsonl", 5),
            ("+write", "metrics.jsonl", 1),          # the validation's line is written, the next checkpoint is not
            ("/write", "metrics.jsonl", 3),          # half a line
            ("rename", "samples/", 1),
            ("+rename", "epoch=", 1),
        ], "train.save_every_steps=2")

    def test_checkpoints_are_durable_before_they_are_visible(self):
        """Whatever is renamed to a checkpoint was synced before, and its folder after."""
        log = self.tmp / "calls"
        self.vmae("pretrain", *EVERYTHING_ON, "train.save_every_steps=2", cwd=self.work, env=at_point("none", "checkpoints", 1, SIGKILL, log))
        calls = [line.split(" ", 1) for line in log.read_text().splitlines()]
        renamed = [i for i, (call, path) in enumerate(calls) if call == "rename" and not path.endswith("previous.safetensors")]
        self.assertGreater(len(renamed), 10)
        for i in renamed:
            before, temporary = calls[i - 1]
            self.assertEqual(before, "fsync")
            self.assertTrue(Path(temporary).name.startswith(Path(calls[i][1]).name), (temporary, calls[i]))
            self.assertEqual(calls[i + 1], ["fsync", str((self.run_dir / "checkpoints").resolve())])


@unittest.skipUnless(point_library(), "needs a C compiler")
class FirstPanelTest(ResumeTest):
    MORE = ["train.steps_per_epoch=103", "train.epochs=1", "train.batch_size=2", "train.micro_batch=2", "optim.warmup_epochs=0", "train.save_every_steps=99"]

    def test_killed_around_the_first_panel(self):
        """It is drawn at step 100; the checkpoint before it is of step 99."""
        self.vmae("pretrain", *EVERYTHING_ON, *self.MORE, cwd=self.make_data(self.reference.parent))
        self.assertEqual(sorted(p.name for p in (self.reference / "samples").iterdir()), ["reconstruction_epoch0000.png", "reconstruction_epoch0001.png"])
        for point in [("rename", "samples/", 1), ("+rename", "samples/", 1)]:
            process = self.start(*self.arguments(*self.MORE), cwd=self.work, env=at_point(*point, SIGKILL))
            self.wait_exit(process, -SIGKILL)
            self.assertEqual(checkpoint_step(self.run_dir), 99)
        self.finish(*self.MORE)


class SignalTest(ResumeTest):
    MANY = ["train.epochs=16", "train.save_every_minutes=1000", "train.keep_every=0", "train.draw_every=0"]

    def test_signals_stop_with_a_checkpoint(self):
        """SIGTERM, SIGUSR1, SIGUSR2 and Ctrl-C from outside, one after the other in one run."""
        folder = self.make_data(self.reference.parent)
        self.vmae("pretrain", *EVERYTHING_ON, *self.MANY, cwd=folder)
        for name, number in [("SIGTERM", SIGTERM), ("SIGUSR1", SIGUSR1), ("SIGUSR2", SIGUSR2), ("SIGINT", SIGINT)]:
            with self.subTest(signal=name):
                before = checkpoint_step(self.run_dir) or 0
                process = self.start(*self.arguments(*self.MANY), cwd=self.work)
                self.assertTrue(self.wait_for(lambda: last_step(self.run_dir) >= before + 3, process, "three steps"))
                process.send_signal(number)
                self.wait_exit(process, 75)
                step = checkpoint_step(self.run_dir)
                self.assertGreaterEqual(step, before + 3)
                self.assertEqual(step, last_step(self.run_dir), "the step that was made is saved")
                message = process.log.read_text()
                self.assertIn(f"stopped by {name} at step {step} of 64", message)
                self.assertIn("--resume", message)
        self.finish(*self.MANY)

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_sigterm_at_the_end_of_an_epoch(self):
        """The signal comes with the last step of an epoch, whose validation is left to the resumed run; and within a validation's bookkeeping."""
        self.run_uninterrupted()
        stops = []
        for point in [("write", "metrics.jsonl", STEPS_PER_EPOCH), ("+write", "metrics.jsonl", 5), ("rename", "best.safetensors", 1)]:
            process = self.start(*self.arguments(), cwd=self.work, env=at_point(*point, SIGTERM))
            self.wait_exit(process, 75)
            state = json.loads(read_safetensors(self.run_dir / "checkpoints/last.safetensors")[1]["state"])
            stops.append((state["step"], state["epoch_to_end"]))
        self.assertEqual(stops[0], (STEPS_PER_EPOCH, 0), "stopped between an epoch's last step and its validation")
        self.assertEqual(len(metrics(self.run_dir, "train")), stops[-1][0])
        self.finish()

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_sigterm_in_the_last_step_finishes(self):
        self.run_uninterrupted()
        last_line = EPOCHS * STEPS_PER_EPOCH + EPOCHS - 1  # of the last step; the last validation's line follows
        self.vmae("pretrain", *EVERYTHING_ON, cwd=self.work, env=at_point("write", "metrics.jsonl", last_line, SIGTERM))
        self.assert_same_run(self.reference, self.run_dir)

    def test_resuming_a_finished_run_changes_nothing(self):
        self.run_uninterrupted()
        shutil.copytree(self.reference, self.run_dir)
        self.finish()
        told = {name: (self.run_dir / name).read_bytes() for name in ("config.yaml", "env.json", "splits.json", "sources.json", "data_card/card.json")}
        done = self.vmae(*self.arguments("optim.lr=0.5"), cwd=self.work)
        self.assertIn("nothing to do: this run is finished", done.stderr)
        for name, content in told.items():
            self.assertEqual((self.run_dir / name).read_bytes(), content, name)


def rate(done, warmup, total, peak=1e-3):
    """docs/method.md: linear from 0, then half a cosine, of steps of the batch size that the run has now."""
    return peak * done / warmup if done < warmup else peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (total - warmup)))


def planned(samples, batch, epochs, state=(0, 0, 0), max_steps=0):
    """The steps of a run from `state` (step, epoch, sample) to its end -> [(step, epoch, learning rate)], state."""
    step, epoch, sample = state
    per_epoch, lines = -(-samples // batch), []
    left = epochs * per_epoch - (epoch * per_epoch + sample // batch)
    if max_steps:
        left = min(left, max_steps - step)
    total = epoch * per_epoch + sample // batch + left
    while left > 0:
        lr, trained = rate(epoch * per_epoch + sample / batch, per_epoch, total), epoch
        step, sample, left = step + 1, (sample // batch + 1) * batch, left - 1
        if sample >= samples:
            epoch, sample = epoch + 1, 0
        lines.append((step, trained, lr))
    return lines, (step, epoch, sample)


@unittest.skipUnless(point_library(), "needs a C compiler")
class ChangedTest(VmaeTest):
    """Resumed with another batch size, more or fewer epochs, a limit of steps: epochs are the truth."""
    SAMPLES = 18

    def check(self, first, then, epochs, stop=None, before=2, ranks=0, max_steps=0, more=()):
        run = f"run-{first}-{then}-{epochs}-{stop}-{max_steps}"
        options = [*TINY, "data.train=images", "data.val=validation", f"run.dir={run}", "optim.warmup_epochs=1", "train.draw_every=0", "data.flip_horizontal=0.5"]
        begin = [*options, f"train.epochs={before}", f"train.batch_size={first}"]
        self.wait_exit(self.start("pretrain", *begin, env=at_point("write", "metrics.jsonl", stop, SIGTERM) if stop else None), 75 if stop else 0)
        state = json.loads(read_safetensors(self.tmp / run / "checkpoints/last.safetensors")[1]["state"])
        state = (state["step"], state["epoch"], state["sample"])
        expected = planned(self.SAMPLES, first, before)[0][:state[0]]
        rest, end = planned(self.SAMPLES, then, epochs, state, max_steps)
        how = ["--nproc-per-node", str(ranks)] if ranks else []
        done = self.vmae("pretrain", "--resume", *how, *options, f"train.epochs={epochs}", f"train.batch_size={then}", f"train.max_steps={max_steps}", *more)
        lines = metrics(self.tmp / run, "train")
        self.assertEqual([(line["step"], line["epoch"]) for line in lines], [(step, epoch) for step, epoch, _ in expected + rest])
        for line, (_, _, lr) in zip(lines, expected + rest):
            self.assertAlmostEqual(line["lr"], lr, delta=1e-9)
        if rest:
            last = json.loads(read_safetensors(self.tmp / run / "checkpoints/last.safetensors")[1]["state"])
            self.assertEqual((last["step"], last["epoch"], last["sample"]), end)
            self.assertEqual(sorted({line["epoch"] for line in metrics(self.tmp / run, "val")}), list(range(rest[-1][1] + 1)))
        else:
            self.assertIn("nothing to do", done.stderr)
        return done

    def setUp(self):
        super().setUp()
        make_pictures(self.tmp / "images", self.SAMPLES)
        make_pictures(self.tmp / "validation", 3, first=100)

    def test_another_batch_size_after_whole_epochs(self):
        for first, then, epochs in ((4, 8, 4), (8, 4, 4), (4, 18, 3), (18, 5, 3), (4, 64, 3)):
            with self.subTest(first=first, then=then):
                self.assertIn("changed since the checkpoint: train.batch_size", self.check(first, then, epochs).stderr)

    def test_another_batch_size_within_an_epoch(self):
        """The samples of the epoch that were seen are seen; a step ends where one of the new size does."""
        for first, then, epochs, stop in ((4, 8, 3, 1), (4, 8, 3, 3), (8, 3, 4, 1), (4, 7, 2, 2), (5, 64, 3, 2)):
            with self.subTest(first=first, then=then, stop=stop):
                self.check(first, then, epochs, stop)

    def test_ranks_and_micro_batches_change_as_well(self):
        self.check(4, 6, 4, stop=2, ranks=2, more=["train.micro_batch=3"])

    def test_fewer_epochs_and_a_limit_of_steps(self):
        self.check(4, 4, 2, before=3)            # less than is done
        self.check(4, 8, 9, max_steps=13)        # 10 steps were made
        self.check(4, 8, 9, max_steps=10)
        with self.assertRaisesRegex(AssertionError, "exit code 2(.|\\n)*train.max_steps = 7, but this run has made 10 steps already"):
            self.check(4, 8, 9, max_steps=7)
        self.check(6, 6, 3, stop=2, before=5)    # fewer than were planned


@unittest.skipUnless(point_library(), "needs a C compiler")
class VariantsTest(ResumeTest):
    """One stop and one kill inside the run, for what else has a state."""

    def check(self, *more):
        self.run_uninterrupted(*more)
        self.wait_exit(self.start(*self.arguments(*more), cwd=self.work, env=at_point("write", "metrics.jsonl", 7, SIGTERM)), 75)
        self.wait_exit(self.start(*self.arguments(*more), cwd=self.work, env=at_point("write", "metrics.jsonl", 8, SIGKILL)), -SIGKILL)
        self.finish(*more)

    def test_fp16_with_its_loss_scale(self):
        self.check("train.precision=fp16", "train.save_every_steps=1")
        state = json.loads(read_safetensors(self.run_dir / "checkpoints/last.safetensors")[1]["state"])
        self.assertGreater(state["loss_scale"], 1.0)
        self.assertGreater(state["loss_scale_good_steps"] + state["skipped_steps"], 0)

    def test_best_is_of_an_epoch_before_the_stop(self):
        """A weight decay that multiplies the weights by -1.2 a step: every later epoch is worse than the first."""
        self.check("optim.lr=10", "optim.min_lr=10", "optim.weight_decay=0.22", "train.save_every_steps=1")
        state = json.loads(read_safetensors(self.run_dir / "checkpoints/last.safetensors")[1]["state"])
        self.assertEqual(state["best_epoch"], 0, [line["loss"] for line in metrics(self.run_dir, "val")])

    def test_log_interval_across_the_stop(self):
        """The mean loss of an interval that began before the stop."""
        more = ["train.log_every=3", "train.save_every_steps=1", "train.validate_every=4"]
        self.run_uninterrupted(*more)
        for count in (900, 2000, 3100):  # of about 650 writes a checkpoint
            self.wait_exit(self.start(*self.arguments(*more), cwd=self.work, env=at_point("pwrite", "last.safetensors", count, SIGKILL)), -SIGKILL)
        self.finish(*more)

    def test_volumes_and_max_steps(self):
        """Slices of volumes, no validation, and a schedule that ends within an epoch."""
        source = SOURCE / "tests/data/hippocampus/images"
        args = [*TINY, "data.train=volumes", "data.val_fraction=0", "run.dir=run", "train.max_steps=14", "train.batch_size=7", "train.save_every_steps=4",
                "train.draw_every=0"]
        for folder in (self.work, self.reference.parent):
            (folder / "volumes").mkdir(parents=True)
            for file in sorted(source.iterdir())[:2]:
                shutil.copy(file, folder / "volumes")
        self.vmae("pretrain", *args, cwd=self.reference.parent)
        self.wait_exit(self.start("pretrain", *args, cwd=self.work, env=at_point("write", "metrics.jsonl", 6, SIGKILL)), -SIGKILL)
        self.wait_exit(self.start("pretrain", "--resume", *args, cwd=self.work, env=at_point("+write", "metrics.jsonl", 4, SIGTERM)), 75)
        self.vmae("pretrain", "--resume", *args, cwd=self.work)
        self.assertEqual(checkpoint_step(self.run_dir), 14)
        self.assert_same_checkpoint(self.reference / "checkpoints/last.safetensors", self.run_dir / "checkpoints/last.safetensors")
        self.assert_same_metrics(self.reference, self.run_dir)


if __name__ == "__main__":
    unittest.main()
