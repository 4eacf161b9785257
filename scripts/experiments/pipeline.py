# SPDX-License-Identifier: Apache-2.0
"""One comparison from the files to a row of results.csv: list, split, pretrain, fine-tune with and without the pretrained weights, predict, score."""
import csv
import json
import math
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import score
from tasks import DATASETS, TASKS, list_cases

ROOT = Path(__file__).resolve().parents[2]
ARMS = ("pretrained", "scratch")
BATCH = {"pretrain": 16, "segment": 8, "classify": 16}  # as in configs/experiments
PRETRAINING_IMAGES_PER_S = 68  # on two cores; for the time limit
COLUMNS = ["task", "arm", "fraction", "seed", "fold", "metric", "value", "n_cases", "train_cases", "steps", "wall_s", "command"]
KEY = COLUMNS[:5]


@dataclass
class Settings:
    data: Path
    out: Path
    vmae: str
    threads: int = 0
    use_folds: bool = False  # repeat r is fold r, where the dataset has five; else every repeat is fold 0
    steps_scale: float = 1.0
    epochs: int = 0  # of fine-tuning, instead of the plan's steps
    pretrain_epochs: int = 0
    pretrain_only: bool = False
    pretrain_extra: tuple = ()
    finetune_extra: tuple = ()
    deadline: float = math.inf  # time.monotonic()


class Dataset:
    """A dataset's lists and splits below OUT/data, made once."""

    def __init__(self, settings, name):
        self.settings, self.name, self.spec = settings, name, DATASETS[name]
        self.folder = settings.out / "data" / name
        self.splits_file = self.folder / "splits.json"
        # Cases are named relative to the list, through a link: the same names, and so the same splits, wherever the data are.
        self.cases = {"source/" + case.image: case for case in list_cases(self.spec, settings.data)}
        self.folder.mkdir(parents=True, exist_ok=True)
        link = self.folder / "source"
        target = (settings.data / self.spec.folder).resolve()
        if not link.is_symlink() or link.resolve() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        self.write_list("pretrain.csv", ["label"])
        for kind, column in (("segment", "mask"), ("classify", "label")):
            if any(task.dataset == name and task.kind == kind for task in TASKS.values()):
                self.write_list(f"{kind}.csv", [column])
        if not self.splits_file.exists():
            self.split()
        self.folds = json.loads(self.splits_file.read_text())["folds"]
        self.check_splits()

    def write_list(self, file, columns, names=None):
        """Image, patient where they are known, and those of `columns` that the dataset has."""
        values = {"label": lambda case: case.label, "mask": lambda case: "source/" + case.mask if case.mask else ""}
        columns = [column for column in columns if any(values[column](case) for case in self.cases.values())]
        rows = [["image", *(["patient"] if self.spec.is_by_patient else []), *columns]]
        for name, case in self.cases.items():
            if names is None or name in names:
                rows.append([name, *([case.patient] if self.spec.is_by_patient else []), *(values[column](case) for column in columns)])
        with open(self.folder / file, "w", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows(rows)
        return self.folder / file

    def num_images(self, names):
        """Slices or pictures."""
        if self.spec.slice_axis < 0:
            return len(names)
        if not hasattr(self, "slices"):
            self.slices = {name: score.nifti_header(self.folder / name)[1][self.spec.slice_axis] for name in self.cases}
        return sum(self.slices[name] for name in names)

    def split(self):
        # method.md: five folds below 4,000 images, 72/8/20 above.
        scheme = "5fold" if self.num_images(self.cases) < 4000 else "72/8/20"
        self.settings.out.mkdir(parents=True, exist_ok=True)
        run_vmae(self.settings, ["split", "--input", self.folder / "pretrain.csv", "--output", self.splits_file, f"split.scheme={scheme}",
                                 "split.fractions=[10,100]", "split.seed=0"], self.folder / "split.log")

    def train_names(self, fold, fraction):
        return self.folds[fold]["train"] if fraction == 100 else self.folds[fold]["fractions"][str(fraction)]

    def patients(self, names):
        return {self.cases[name].patient for name in names}

    def check_splits(self):
        for number, fold in enumerate(self.folds):
            parts = {part: self.patients(fold[part]) for part in ("train", "val", "test")}
            require(all(parts.values()), f"{self.splits_file}: fold {number} has an empty part")
            require(not parts["train"] & parts["test"] and not parts["val"] & parts["test"] and not parts["train"] & parts["val"],
                    f"{self.splits_file}: a patient is in two parts of fold {number}")
            for percent, names in fold["fractions"].items():
                require(self.patients(names) <= parts["train"], f"{self.splits_file}: fold {number}, {percent} %: a patient who does not train")

    def check_run(self, run, fold):
        """What a run says it trained on (its splits.json) holds no patient of the test or validation part."""
        used = json.loads((run / "splits.json").read_text())
        unknown = [name for name in used["train"] if name not in self.cases]
        require(not unknown, f"{run} trained on {unknown[:1]}, which {self.folder} does not list")
        leaked = self.patients(used["train"]) & self.patients(self.folds[fold]["test"] + self.folds[fold]["val"])
        require(used["train"] and not leaked, f"LEAK: {run} trained on {len(leaked)} patients of its test or validation part: {sorted(leaked)[:3]}")


def require(is_true, message):
    if not is_true:
        raise SystemExit("experiments: " + message)


def run_vmae(settings, arguments, log):
    """Runs vmae with its output in `log`; returns the command as text."""
    command = [settings.vmae, *map(str, arguments)]
    text = shlex.join(command)
    with open(log, "a") as handle:
        print("$ " + text, file=handle, flush=True)
        status = subprocess.run(command, stdout=handle, stderr=subprocess.STDOUT).returncode
    if status != 0:
        tail = "\n".join(Path(log).read_text().splitlines()[-4:])
        raise SystemExit(f"experiments: exit code {status} from vmae {arguments[0]} (log: {log})\n{tail}")
    return text


def config(name):
    return os.path.relpath(ROOT / "configs" / "experiments" / f"{name}.yaml")


def schedule(num_images, batch, steps, warmup_share, epochs=0):
    """Keys for a run of `steps` optimizer steps (or of `epochs`), about five validations, warm-up in whole epochs as near as they come; and its steps."""
    per_epoch = math.ceil(num_images / batch)
    steps = epochs * per_epoch if epochs else steps
    epochs = math.ceil(steps / per_epoch)
    warmup = min(round(warmup_share * steps / per_epoch), (steps - 1) // per_epoch)
    return [f"train.epochs={epochs}", f"train.max_steps={steps}", f"optim.warmup_epochs={warmup}", f"train.validate_every={math.ceil(epochs / 5)}",
            f"train.draw_every={epochs}"], steps


def machine(settings):
    return [f"run.threads={settings.threads}", f"data.workers={settings.threads}"] if settings.threads else []


def scaled(settings, steps):
    return max(1, round(steps * settings.steps_scale))


def pretraining_folder(dataset, fold):
    return dataset.settings.out / "pretrain" / f"{dataset.name}_fold{fold}"


def is_pretrained(dataset, fold):
    return (pretraining_folder(dataset, fold) / "finished.json").exists()


def pretraining_seconds(dataset):
    return dataset.spec.pretrain_steps * dataset.settings.steps_scale * BATCH["pretrain"] / PRETRAINING_IMAGES_PER_S


def pretrained_weights(dataset, fold):
    """The weights of a masked autoencoder that has seen the training part of `fold` alone; trained at the first call."""
    settings, spec = dataset.settings, dataset.spec
    run = pretraining_folder(dataset, fold)
    train = dataset.folds[fold]["train"]
    keys, steps = schedule(dataset.num_images(train), BATCH["pretrain"], scaled(settings, spec.pretrain_steps), 0.1, settings.pretrain_epochs)
    if not is_pretrained(dataset, fold):
        say(f"pretraining on {dataset.name}, fold {fold}: {len(train)} cases, {dataset.num_images(train)} images, {steps} steps")
        start = time.monotonic()
        run.parent.mkdir(parents=True, exist_ok=True)
        command = run_vmae(settings, ["pretrain", "--config", config("pretrain"), "--overwrite", f"run.dir={run}", f"data.train={dataset.folder / 'pretrain.csv'}",
                                      f"data.splits={dataset.splits_file}", f"data.fold={fold}", *spec.options, *spec.pretrain_options, *keys, *machine(settings),
                                      *settings.pretrain_extra], run.parent / f"{run.name}.log")
        dataset.check_run(run, fold)
        remove_checkpoints(run)
        (run / "finished.json").write_text(json.dumps({"wall_s": round(time.monotonic() - start, 1), "steps": steps, "command": command}, indent=1) + "\n")
        say(f"  {time.monotonic() - start:.0f} s, {last_loss(run)}")
    made = json.loads((run / "finished.json").read_text())["steps"]
    require(made == steps, f"{run} was trained for {made} steps, not {steps}: give another --out, or delete that folder")
    dataset.check_run(run, fold)
    return run / "checkpoints" / "best.safetensors"


def last_loss(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line.get("kind") == "val"]
    return f"validation loss {losses[0]:.4g} -> {losses[-1]:.4g}" if losses else "no validation"


def remove_checkpoints(run):
    """What only --resume needs; the best weights stay."""
    for name in ("last", "previous"):
        (run / "checkpoints" / f"{name}.safetensors").unlink(missing_ok=True)


def fine_tune(dataset, task, arm, fraction, seed, fold):
    """One run: trained, tested, scored; returns its row."""
    settings = dataset.settings
    run = settings.out / "runs" / f"{task.name}_{arm}_{fraction}_seed{seed}_fold{fold}"
    log = run.parent / f"{run.name}.log"
    run.parent.mkdir(parents=True, exist_ok=True)
    weights = pretrained_weights(dataset, fold) if arm == "pretrained" else None  # not counted in the run's seconds
    start = time.monotonic()
    train = dataset.train_names(fold, fraction)
    keys, steps = schedule(dataset.num_images(train), BATCH[task.kind], scaled(settings, task.steps), 0.1, settings.epochs)
    command_name, labels = ("finetune-seg", [f"data.classes=[{','.join(task.classes)}]"]) if task.kind == "segment" else ("finetune-cls", [])
    init = [f"model.init={weights}", f"model.transfer={task.transfer}"] if weights else []
    command = run_vmae(settings, [command_name, "--config", config(task.kind), "--overwrite", f"run.dir={run}", f"run.seed={seed}",
                                  f"data.train={dataset.folder / (task.kind + '.csv')}", f"data.splits={dataset.splits_file}", f"data.fold={fold}",
                                  f"data.label_fraction={fraction}", *dataset.spec.options, *labels, *task.options, *keys, *init, *machine(settings),
                                  *settings.finetune_extra], log)
    dataset.check_run(run, fold)
    test = dataset.folds[fold]["test"]
    test_list = dataset.write_list(f"test_fold{fold}.csv", [], set(test))
    predictions = run / "test"
    run_vmae(settings, ["predict", "--weights", run, "--input", test_list, "--output", predictions, "--overwrite",
                        *(["--threads", settings.threads] if settings.threads else [])], log)
    rows, metric, value, num_cases = score_run(dataset, task, predictions, test)
    write_case_scores(run / "test_scores.csv", task, rows)
    remove_checkpoints(run)
    return dict(zip(COLUMNS, [task.name, arm, fraction, seed, fold, metric, f"{value:.5f}", num_cases, len(train), steps, f"{time.monotonic() - start:.1f}", command]))


def score_run(dataset, task, predictions, test):
    if task.kind == "segment":
        pairs = [(name, dataset.folder / "source" / dataset.cases[name].mask) for name in test]
        rows = score.segmentation(pairs, predictions, len(task.classes))
        means = [row[-1] for row in rows if not math.isnan(row[-1])]  # both empty: left out
        return rows, "Dice", sum(means) / len(means), len(means)
    labels = {name: dataset.cases[name].label for name in test}
    rows, value = score.classification(labels, predictions / "cases.csv", task.classes)
    return rows, "AUROC", value, len(rows)


def write_case_scores(file, task, rows):
    names = [*task.classes, "mean"] if task.kind == "segment" else ["label", *task.classes]
    with open(file, "w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([["image", *names], *rows])


class Results:
    """OUT/results.csv: one row a run, appended when the run is finished."""

    def __init__(self, out):
        self.file = out / "results.csv"
        self.rows = []
        if self.file.exists():
            with open(self.file, newline="") as handle:
                self.rows = list(csv.DictReader(handle))

    def has(self, *key):
        return any(all(row[column] == str(value) for column, value in zip(KEY, key)) for row in self.rows)

    def append(self, row):
        is_new = not self.file.exists()
        with open(self.file, "a", newline="") as handle:
            writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        self.rows.append({column: str(value) for column, value in row.items()})

    def seconds(self, task, fallback):
        """What a run of this task took so far, on average."""
        known = [float(row["wall_s"]) for row in self.rows if row["task"] == task.name]
        return sum(known) / len(known) if known else fallback


def compare(settings, task_name, fractions, seed, cache={}):
    """Both arms of one task for one seed at each fraction, what is there already left out. False when the time is up: a pair that would not fit is not begun."""
    task = TASKS[task_name]
    if task.dataset not in cache:
        cache[task.dataset] = Dataset(settings, task.dataset)
    dataset = cache[task.dataset]
    fold = seed % len(dataset.folds) if settings.use_folds else 0
    results = Results(settings.out)
    if settings.pretrain_only:
        pretrained_weights(dataset, fold)
        return True
    for fraction in fractions:
        missing = [arm for arm in ARMS if not results.has(task.name, arm, fraction, seed, fold)]
        needed = len(missing) * results.seconds(task, task.seconds * settings.steps_scale)
        if ARMS[0] in missing and not is_pretrained(dataset, fold):
            needed += pretraining_seconds(dataset)
        if missing and time.monotonic() + needed > settings.deadline:
            say(f"{task.name}, {fraction} %, seed {seed}: would take {needed:.0f} s, more than is left")
            return False
        for arm in missing:
            row = fine_tune(dataset, task, arm, fraction, seed, fold)
            results.append(row)
            say(f"{task.name}, {fraction} % ({row['train_cases']} cases), seed {seed}, fold {fold}, {arm}: "
                f"{row['metric']} {row['value']} on {row['n_cases']} cases, {row['wall_s']} s")
    return True


def say(text):
    print(time.strftime("%H:%M:%S ") + text, flush=True)


def add_options(parser):
    parser.add_argument("--data", type=Path, required=True, help="folder with the datasets (README.md)")
    parser.add_argument("--out", type=Path, required=True, help="folder for lists, splits, runs and results.csv; what is done there already is left out")
    parser.add_argument("--seeds", type=int, default=5, help="repeats: run.seed 0, 1, ... (default: 5)")
    parser.add_argument("--folds", action="store_true", help="repeat r is tested on fold r where the dataset has five folds (and pretrained once a fold); default: fold 0")
    parser.add_argument("--fractions", default="10,100", help="percent of the labels: 10, 100 or both (default: 10,100)")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="multiplies the planned steps of pretraining and fine-tuning")
    parser.add_argument("--epochs", type=int, default=0, help="epochs of fine-tuning, instead of the planned steps")
    parser.add_argument("--pretrain-epochs", type=int, default=0, help="epochs of pretraining, instead of the planned steps")
    parser.add_argument("--pretrain-only", action="store_true", help="lists, splits and pretraining, no fine-tuning yet")
    parser.add_argument("--pretrain-set", nargs="+", default=[], metavar="KEY=VALUE", help="more keys for `vmae pretrain`")
    parser.add_argument("--finetune-set", nargs="+", default=[], metavar="KEY=VALUE", help="more keys for fine-tuning, both arms; use another --out for other keys")
    parser.add_argument("--threads", type=int, default=0, help="threads of vmae; 0: as many as it may use")
    parser.add_argument("--vmae", default=os.path.relpath(ROOT / "build/release/bin/vmae"), help="the program (default: build/release/bin/vmae)")


def settings_of(arguments, minutes):
    settings = Settings(arguments.data, arguments.out, arguments.vmae, arguments.threads, arguments.folds, arguments.steps_scale, arguments.epochs,
                        arguments.pretrain_epochs, arguments.pretrain_only, tuple(arguments.pretrain_set), tuple(arguments.finetune_set),
                        time.monotonic() + 60 * minutes if minutes else math.inf)
    fractions = [int(text) for text in arguments.fractions.split(",")]
    require(set(fractions) <= {10, 100}, "--fractions: allowed are 10 and 100")
    require(Path(settings.vmae).is_file(), f"{settings.vmae} is missing: scripts/build makes it, or name another with --vmae")
    settings.out.mkdir(parents=True, exist_ok=True)
    return settings, fractions
