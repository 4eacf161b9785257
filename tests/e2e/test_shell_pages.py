# SPDX-License-Identifier: Apache-2.0
"""Completions for shells and the manual page, by the shells and roff themselves."""
import shutil
import subprocess
import unittest

from harness import VMAE, VmaeTest


class ShellPagesTest(VmaeTest):
    PAGES = ["bash", "configs", "configuration", "default-config", "fish", "man", "zsh"]

    def page(self, name):
        text = self.vmae("docs", name).stdout
        (self.tmp / name).write_text(text)
        return text

    def bash(self, *words):
        script = f'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vmae 2>/dev/null; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", script, "bash", self.tmp / "bash", "vmae", *words], capture_output=True, text=True, check=True, cwd=self.tmp)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash(self):
        self.page("bash")
        self.assertEqual(self.bash("pre"), ["pretrain", "predict", "prepare"])
        self.assertEqual(self.bash("--v"), ["--version"])
        self.assertEqual(self.bash("predict", "--over"), ["--overwrite", "--overlays", "--overlap"])
        self.assertEqual(self.bash("predict", "--tiles", "a"), ["auto", "always"])
        self.assertEqual(self.bash("predict", "--postprocessing", ""), ["auto", "none"])
        self.assertEqual(self.bash("pretrain", "optim.lr"), ["optim.lr="])
        self.assertEqual(self.bash("plan", "plan.spl"), ["plan.splits="])
        self.assertEqual(self.bash("eval", "optim"), [])
        self.assertEqual(self.bash("predict", "--tiles", "=", "a"), ["auto", "always"])  # as bash takes --tiles=a apart
        self.assertEqual(self.bash("predict", "--tiles", "="), ["auto", "always", "never"])
        self.assertEqual(self.bash("pretrain", "train.precision", "=", "f"), ["fp32", "fp16"])
        self.assertEqual(self.bash("finetune-seg", "loss.batch_dice", "=", ""), ["true", "false"])
        (self.tmp / "pretrain_mine.yaml").write_text("")
        for begin, offered in (("pretrain/m", "pretrain/mr"), ("pretrain_", "pretrain_mine.yaml")):
            self.assertEqual(self.bash("pretrain", "--config", begin), [offered])
        self.assertEqual(self.bash("docs", ""), self.PAGES)
        self.assertEqual(self.bash("docs", "z"), ["zsh"])
        self.assertEqual(self.bash("inspect", ""), [])

    @unittest.skipUnless(shutil.which("fish"), "no fish")
    def test_fish(self):
        self.page("fish")

        def complete(line):
            done = subprocess.run(["fish", "--no-config", "-c", f"source {self.tmp}/fish; complete -C '{line}'"], capture_output=True, text=True, check=True)
            self.assertEqual(done.stderr, "")
            return [row.split("\t")[0] for row in done.stdout.splitlines()]
        self.assertEqual(sorted(complete("vmae pre")), ["predict", "prepare", "pretrain"])
        self.assertEqual(sorted(complete("vmae predict --tiles ")), ["always", "auto", "never"])
        self.assertEqual(sorted(complete("vmae predict --over")), ["--overlap", "--overlays", "--overwrite"])
        self.assertIn("optim.lr=", complete("vmae pretrain optim."))
        self.assertEqual(sorted(complete("vmae predict --tiles=a")), ["--tiles=always", "--tiles=auto"])
        self.assertEqual(sorted(complete("vmae docs ")), self.PAGES)
        self.assertEqual(complete("vmae --vers"), ["--version"])
        self.assertNotIn("--tiles", complete("vmae eval --pred predict --"))
        self.assertIn("pretrain/mr", complete("vmae pretrain --config pretrain/"))

    @unittest.skipUnless(shutil.which("zsh"), "no zsh")
    def test_zsh(self):
        """Its completion asks for a terminal: here the functions that it calls say what they are given."""
        self.page("zsh")
        script = """
            compdef() { true }
            _describe() { print -rl -- ${(P)2} }
            _files() { print files }
            compset() { print -rl -- "$@" }
            compadd() { print -l -- ${@[-1]} }
            source $1; shift
            words=("$@"); CURRENT=$#
            _vmae
        """

        def complete(*words):
            done = subprocess.run(["zsh", "-f", "-c", script, "zsh", self.tmp / "zsh", "vmae", *words], capture_output=True, text=True, check=True)
            self.assertEqual(done.stderr, "")
            return done.stdout
        self.assertIn("pretrain:Pretrain a Swin encoder", complete("pre"))
        self.assertIn("--overlays:segmentation: also write pictures", complete("predict", "--over"))
        self.assertEqual(complete("predict", "--tiles", "").strip(), "never")
        self.assertIn("=", complete("pretrain", "opt"))
        self.assertEqual(complete("predict", "--tiles=a").split(), ["-P", "*=", "never"])
        self.assertEqual(complete("pretrain", "train.precision=").split(), ["-P", "*=", "fp16"])
        self.assertEqual(complete("pretrain", "data.train=").split(), ["-P", "*=", "files"])
        self.assertEqual(complete("pretrain", "--config", "").split()[-1], "files")
        self.assertEqual(complete("docs", "").split(), ["zsh"])
        self.assertIn("--version:", complete("--v"))
        self.assertEqual(complete("inspect", ""), "files\n")

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_man(self):
        self.page("man")
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", self.tmp / "man"], capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        for words in ("vmae predict", "--postprocessing", "auto|none", "75 stopped by a signal", "vmae pretrain --config configs/pretrain/mr.yaml", "PATH   anything that vmae reads or writes", "--fold K|all", "--device auto|cpu|cuda",
                      "|".join(self.PAGES), "vmae - self-supervised pretraining",
                      "ENVIRONMENT", "VMAE_TORCH", "Display program version information and exit"):
            self.assertIn(words, done.stdout)

    def test_every_command_and_option_is_there(self):
        commands = [line.split()[0] for line in self.vmae("--help").stdout.split("Subcommands:")[1].splitlines() if line.startswith("  ") and line[2] != " "]
        self.assertGreater(len(commands), 14)
        pages = {name: self.page(name) for name in ("bash", "zsh", "fish", "man")}
        for command in commands:
            text = subprocess.run([VMAE, command, "--help"], capture_output=True, text=True, check=True).stdout
            for word in (line.split()[0] for line in text.splitlines() if line.startswith("  --")):
                for option in word.split(","):
                    option = option.split("{")[0]
                    for name, page in pages.items():
                        wanted = {"fish": f" -l {option[2:]}", "man": option.replace("-", "\\-")}.get(name, option)
                        self.assertIn(wanted, page, f"{command} {option} in {name}")
