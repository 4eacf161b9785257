# SPDX-License-Identifier: Apache-2.0
"""A Slurm cluster of one node on loopback, for the time of a test: in a temporary folder, on free ports, with a munge of its own. Needs root."""
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from harness import environment
from ranks import MARK, free_port, marked

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo", "squeue")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
# cred_expire: a job that is requeued waits as long. FirstJobId: where ranks meet follows from the job's number. config_overrides: the node may claim more
# CPUs and memory than the machine has.
CONFIG = """\
ClusterName=test
FirstJobId={first_job}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
KillWait=10
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):
    """Why there can be no cluster here."""


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Cluster:
    def __init__(self, timeout=30):
        self.host = socket.gethostname().split(".")[0]
        self.check()
        self.folder = Path(tempfile.mkdtemp(prefix="vmae-slurm-"))
        self.mark = f"{os.getpid()}-{self.folder.name}"
        self.daemons = {}
        try:
            self.start(time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def check(self):
        if os.geteuid() != 0:
            raise Unavailable("starting a Slurm cluster needs root")
        missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
        if missing:
            raise Unavailable(f"no {', '.join(missing)}: the Debian packages slurm-wlm and munge are not installed")
        try:
            socket.gethostbyname(self.host)
        except OSError:
            raise Unavailable(f"this host's name, {self.host}, has no address, so ranks of a job could not meet there") from None

    def variables(self):
        """What commands of Slurm need to find this cluster."""
        return {"PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def env(self):
        return {**environment(**{MARK: self.mark}), **self.variables()}

    def start(self, deadline):
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o700)
        munge = self.folder / "munge"
        (munge / "key").write_bytes(secrets.token_bytes(1024))
        (munge / "key").chmod(0o600)
        self.start_daemon("munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                          f"--log-file={munge}/log", f"--seed-file={munge}/seed")
        self.wait(lambda: (munge / "socket").exists(), deadline, "munged")
        config = CONFIG.format(host=self.host, folder=self.folder, control_port=free_port(), node_port=free_port(),
                               first_job=1000 + secrets.randbelow(8000))
        (self.folder / "slurm.conf").write_text(config)
        self.start_daemon("slurmctld", "-D")
        self.start_daemon("slurmd", "-D")
        self.wait(lambda: self.call("sinfo", "--noheader", "--format=%T", check=False).stdout.strip() == "idle", deadline, "slurmctld and slurmd")

    def start_daemon(self, name, *arguments):
        with open(self.folder / f"{name}.out", "wb") as out:
            self.daemons[name] = subprocess.Popen([shutil.which(name, path=PATH), *arguments], cwd=self.folder, env=self.env(), stdin=subprocess.DEVNULL,
                                                  stdout=out, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)

    def wait(self, condition, deadline, what):
        while not condition():
            ended = [name for name, process in self.daemons.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise Unavailable(f"{', '.join(ended) or what} did not come up here: {self.output(ended or self.daemons) or 'no message'}")
            time.sleep(0.1)

    def output(self, names):
        lines = [line for name in names for line in (self.folder / f"{name}.out").read_text(errors="replace").splitlines()]
        return " / ".join(([line for line in lines if "error" in line.lower() or "fatal" in line] or lines)[-3:])

    def call(self, *command, env=None, cwd=None, check=True, timeout=120):
        """A command of Slurm, to its end: .stdout, .stderr, .returncode."""
        done = subprocess.run(list(map(str, command)), env=env or self.env(), cwd=cwd or self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"exit code {done.returncode}: {' '.join(map(str, command))}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
        return done

    def job(self, number):
        """What scontrol says of a job: {key: value}."""
        text = self.call("scontrol", "show", "--oneliner", "job", number).stdout
        return dict(item.split("=", 1) for item in text.split() if "=" in item)

    def stop(self):
        """Jobs, daemons, and the folder."""
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            self.call("scancel", "--user=root", "--signal=KILL", "--full", check=False)
            self.call("scancel", "--user=root", check=False)
            self.quiet(20)
        for name in reversed(self.daemons):
            process = self.daemons[name]
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def quiet(self, within):
        """Waits until no job is left and slurmstepd, which outlives slurmd, has ended for each (its socket is in the spool folder). False: not in time."""
        deadline = time.monotonic() + within
        while self.call("squeue", "--noheader", check=False).stdout.strip() or any(p.is_socket() for p in (self.folder / "spool").iterdir()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True
