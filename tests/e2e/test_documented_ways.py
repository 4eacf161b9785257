# SPDX-License-Identifier: Apache-2.0
"""Every command in a bash block of README.md and docs/ is run as it stands there, page after page, in a folder where what it names exists: small images, and for
training a small network and few steps. What other tests walk is listed in ELSEWHERE; a line that is in neither fails here."""
import functools
import json
import re
import shutil
import subprocess
import unittest

import nnunet_datasets
from dicom_files import write_ct_series
from finetuning import HIPPOCAMPUS, FinetuneTest, hippocampus, make_class_manifest, shared_folder
from harness import GOLDEN, SOURCE, VMAE, environment, make_pictures

SMALL = ("train.epochs=2 train.steps_per_epoch=2 train.batch_size=4 train.micro_batch=4 train.precision=fp32 train.draw_every=0 optim.warmup_epochs=1 "
         "run.threads=1 data.workers=1")
NETWORK = "model.image_size=[32,32] model.embed_dim=8 model.depths=[1,1,1,1] model.num_heads=[1,1,2,2] model.window_size=4"
TRANSUNET = ("model.vit_width=16 model.vit_layers=1 model.vit_heads=2 model.vit_mlp=16 model.stem_units=[1,1,1] model.stem_width=32 "
             "model.decoder_channels=[8,8,8,8,4]")  # changes no other network

# What stands in the way of a test here, and the tests that walk it.
ELSEWHERE = {
    r"scripts/(demo|test|setup|build|fuzz)": "scripts/test, and the demo on a bare machine",
    r"(srun|sbatch|.*\bsbatch\b|mpirun|docker|apptainer|torchrun|scripts/torchrun\.sh)": "test_slurm, test_ranks, test_torchrun_script",
    r".*--nproc-per-node": "test_ranks, test_tools",
    r"vmae prepare .*prepare\.structures=": "test_structures",
    r"vmae (compare|eval) .*(--truth|--names-table) /?archive/(heart|ct)": "test_way_back",
    r"vmae (inspect|predict) .*(--names-table ct_names\.csv|--source)": "test_way_back",
    r"(cd runs/recipes|scripts/experiments|vmae compare runs/experiments|python=|.*\$python)": "long experiments, and the tests' own commands",
    r"VMAE_SOURCE_DIR|python3 tests/checks": "scripts/test",
}
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (SOURCE / "docs").glob("*.md"))]


def blocks_of(page, language="bash"):
    return re.findall(rf"```{language}\n(.*?)```", (SOURCE / page).read_text("utf-8"), re.S)


def joined(block):
    """Lines, those that end in a backslash with the next."""
    return re.sub(r"\\\n\s*", "", block).splitlines()


def is_elsewhere(line):
    return any(re.match(pattern, line.strip()) for pattern in ELSEWHERE)


def is_command(line):
    return re.match(r"\s*(vmae|scripts/|srun|torchrun|mpirun|docker|apptainer|tensorboard|[A-Z_]+=\S+ )", line) is not None


def nnunet(folder, train=12, test=3):
    """The middle slices of hippocampus volumes, as nnU-Net wants them."""
    plain = hippocampus(folder / "plain", train + test, slices=6)
    for i, file in enumerate(sorted((plain / "images").iterdir())):
        part = "Tr" if i < train else "Ts"
        for kind, name in (("images", f"heart_{i:03d}_0000.nii.gz"), ("labels", f"heart_{i:03d}.nii.gz")):
            (folder / (kind + part)).mkdir(exist_ok=True)
            shutil.copy(plain / kind / file.name, folder / (kind + part) / name)
    shutil.rmtree(plain)
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "MR"}, "labels": {"background": 0, "anterior": 1, "posterior": 2},
                                                     "numTraining": train, "file_ending": ".nii.gz"}))


@functools.cache
def named_on_the_pages():
    """A folder with what the pages name."""
    top = shared_folder() / "documented"
    for name in ("configs", "tests"):
        top.mkdir(exist_ok=True)
        (top / name).symlink_to(SOURCE / name)
    nnunet(top / "data/heart")
    plan = json.loads((GOLDEN / "nnunet_datasets.json").read_text())["isotropic"]["plans"]
    plan["configurations"]["2d"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 8, 8, 8]
    (top / "small_plan.json").write_text(json.dumps(plan))
    new = hippocampus(top / "new_cases", 3, slices=6, first=20)
    for there in ("archive/new", "new"):
        shutil.copytree(new / "images", top / there)
    shutil.copytree(new / "labels", top / "archive/new_labels")
    shutil.copy(next((new / "images").iterdir()), top / "new/case.nii.gz")
    shutil.copytree(HIPPOCAMPUS / "images", top / "archive/mr", ignore=lambda folder, names: sorted(names)[8:])
    for i in range(4):
        write_ct_series(top / f"archive/ct/s{i}", rows=64, columns=64, seed=i, identity={"PatientID": f"MRN-{i}"})
    shutil.copytree(top / "archive/mr", top / "scans")
    make_class_manifest(top / "data", (8, 8), names=("healthy", "ill"), file="labels.csv")
    shutil.copy(top / "data/labels.csv", top / "data/tb.csv")
    make_pictures(top / "data/pictures", 40)
    (top / "data/list.csv").write_text("image,patient\n" + "".join(f"pictures/case{i:03d}.png,p{i // 2:02d}\n" for i in range(40)))
    return top


class DocumentedWaysTest(FinetuneTest):
    def setUp(self):
        super().setUp()
        shutil.copytree(named_on_the_pages(), self.tmp, symlinks=True, dirs_exist_ok=True)

    def bash(self, script):
        """Stops at the first command that fails."""
        functions = f"""set -e -o pipefail
        vmae() {{
          case "$1" in
            pretrain) set -- "$@" {SMALL} {NETWORK} data.slice_axis=z ;;
            finetune-*) case "$*" in *nnunet.yaml*--fold*) set -- "$@" {SMALL} nnunet.plan=small_plan.json ;; *nnunet.yaml*) set -- "$@" {SMALL} ;; *) test "$1" = finetune-cls || set -- "$@" {TRANSUNET}; case "$*" in *model.init=*) ;; *) set -- "$@" {NETWORK} ;; esac; set -- "$@" {SMALL}
              case "$*" in *swin_tiny*) ;; *) set -- "$@" model.depths=[1,1,1,1] ;; esac ;; esac ;;
            eval|compare) set -- "$@" --resamples 20 ;;
            plan) case "$*" in *--input*) set -- "$@" plan.foreground_voxels=100000 ;; esac ;;
          esac
          printf '+ vmae %s\\n' "$*" >&2
          {VMAE} "$@"
        }}
        """
        functions = "\n".join(line.strip() for line in functions.splitlines())
        script = re.sub(r"(?<=[ =])/archive/", "archive/", script)
        done = subprocess.run(["bash", "-c", functions + "\n" + script], cwd=self.tmp, capture_output=True, text=True, env=environment(OMP_NUM_THREADS=1), timeout=1500)
        self.assertEqual(done.returncode, 0, f"{script}\n{done.stderr[-4000:]}")
        return done

    def walk(self, page, more=None):
        """All bash blocks of a page; more: {text in a line: commands before it}."""
        lines = []
        for block in blocks_of(page):
            for line in joined(block):
                for text, before in (more or {}).items():
                    if text in line:
                        lines.append(before)
                if not is_elsewhere(line):
                    lines.append(line)
        return self.bash("\n".join(lines))

    def runs(self, *names):
        """Runs with a test part, of a small network."""
        lines = ["test -e runs.json || vmae split --input data/heart --output runs.json split.scheme=60/20/20"]
        lines += [f"vmae finetune-seg data.train=data/heart data.splits=runs.json run.dir=runs/{name}" for name in names]
        return "\n".join(lines)

    def exist(self, *names):
        for name in names:
            self.assertTrue(list(self.tmp.glob(name)), name)

    def test_readme(self):
        self.walk("README.md", {"vmae compare runs/pretrained": self.runs("pretrained", "scratch")})
        self.exist("mr.png", "card/card.html", "mine.pth", "predictions/*.nii.gz", "scores/cases.csv", "report/report.html", "comparison/report.html")

    def test_getting_started(self):
        [small] = blocks_of("docs/getting-started.md", "yaml")
        (self.tmp / "small.yaml").write_text(small)
        (self.tmp / "list.csv").write_text(blocks_of("docs/getting-started.md", "csv")[0])
        self.walk("docs/getting-started.md", {"--resume": "vmae pretrain --config small.yaml optim.lr=3e-4 --overwrite train.max_steps=3 || test $? = 75",
                                              "run.dir=runs/heart_mae": "rm -r runs/heart"})
        self.exist("mr.pth", "runs/second/checkpoints/best.safetensors", "predictions/*.nii.gz", "report/tables/*.tex", "report/summary.json", "report/cases.csv")

    def test_finetune(self):
        weights = ("vmae pretrain data.train=scans run.dir=runs/mr model.in_channels=1\n"
                   "vmae pretrain data.train=data/list.csv run.dir=runs/xray model.in_channels=1")
        self.walk("docs/finetune.md", {"--dry-run": weights, "--fold 0": "rm -r runs/heart", "vmae predict --weights runs/heart5": "rm -r predictions"})
        self.exist("runs/heart/fold_0/checkpoints/best.safetensors", "runs/heart5/out_of_fold/imagesTr/*.nii.gz", "runs/heart5_10/fold_4", "predictions/*.nii.gz", "runs/tb/metrics.jsonl")

    def test_predict(self):
        weights = """vmae split --input data/heart --output heart.json split.scheme=5fold
        vmae finetune-seg data.train=data/heart data.splits=heart.json --fold all run.dir=runs/heart5
        vmae finetune-seg data.train=data/heart run.dir=runs/heart
        vmae pretrain data.train=scans run.dir=runs/mr model.in_channels=1
        cp runs/heart/checkpoints/best.safetensors a.safetensors
        cp runs/heart/checkpoints/last.safetensors b.safetensors"""
        self.walk("docs/predict.md", {"--weights runs/heart --input new": weights})
        self.exist("predictions/*.nii.gz", "one/overlays/*", "one/probabilities/*", "ct/*", "features.csv", "features.safetensors")

    def test_eval(self):
        others = """vmae predict --weights runs/heart --input data/heart/imagesTs --output predictions
        cp -r predictions nnunet
        cp -r predictions ours
        printf 'case,healthy,ill\\n' > scores.csv; printf 'case,label\\n' > labels.csv
        for i in 1 2 3 4 5 6; do echo "c$i,0.$i,0.$((10 - i))" >> scores.csv; test $i -gt 3 && echo "c$i,healthy" >> labels.csv || echo "c$i,ill" >> labels.csv; done"""
        self.walk("docs/eval.md", {"vmae eval --run runs/heart": self.runs("heart") + "\n" + others, "vmae eval --pred nnunet": "rm -r report",
                                   "vmae eval --pred scores": "rm -r report",
                                   "vmae compare runs/pretrained_10 ": "rm -r report\n" + self.runs("pretrained_10", "scratch_10", "pretrained_100", "scratch_100")})
        self.exist("runs/heart/eval/report.html", "report/report.html")

    def test_prepare(self):
        self.walk("docs/prepare.md")
        self.exist("ct.png", "runs/ct/checkpoints/last.safetensors")

    def test_data(self):
        self.walk("docs/data.md")
        self.exist("splits.json", "runs/fold0_10/checkpoints/last.safetensors")

    def test_weights(self):
        lines = [line for block in blocks_of("docs/weights.md") for line in joined(block)]
        self.bash("vmae pretrain data.train=scans run.dir=runs/mr model.in_channels=1\n"
                  + "\n".join(line.replace(" ... ", " data.train=scans run.dir=runs/next model.in_channels=1 ") for line in lines))
        self.exist("mr.safetensors", "mr.pth", "runs/next/checkpoints/last.safetensors")

    def test_baselines(self):
        nnunet_datasets.hippocampus(self.tmp / "nnUNet_raw/Dataset004_Hippocampus")
        self.walk("docs/baselines.md")
        self.exist("nnUNet_preprocessed/Dataset004_Hippocampus/nnUNetPlans.json")
        self.exist("runs/transunet/checkpoints/best.safetensors", "runs/transunet_small/checkpoints/best.safetensors", "predictions/*.nii.gz")

    def test_imagenet(self):
        shutil.copy(SOURCE / "tests/golden/swin/microsoft.pth", self.tmp / "swin_tiny_patch4_window7_224.pth")
        done = self.walk("docs/imagenet.md")
        self.assertEqual(done.stderr.count("names of Microsoft Swin; encoder"), 3)
        self.assertNotIn("computes something else", done.stderr)
        self.exist("runs/heart_imagenet/checkpoints/best.safetensors", "runs/tb_imagenet/checkpoints/best.safetensors")

    def test_no_other_page_has_commands(self):
        """A page that is new, or gets its first command, needs a test here."""
        walked = {"README.md", *(f"docs/{name}.md" for name in ("getting-started", "finetune", "predict", "eval", "prepare", "data", "weights", "baselines", "imagenet"))}
        for page in PAGES:
            lines = [line for block in blocks_of(page) for line in joined(block) if is_command(line) and not is_elsewhere(line)]
            if page not in walked:
                self.assertEqual(lines, [], page)


if __name__ == "__main__":
    unittest.main()
