"""A job script for Slurm: it starts Ray on the nodes of the job and runs a command."""

import os
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curriculum.files import write_text
from curriculum.setting import flags, values
from curriculum.setting.spelling import suggestion

PROG = "python -m curriculum.sweep slurm"
USAGE = f"usage: {PROG} FILE [FLAGS] -- python -m curriculum.compare|sweep FLAGS"
COMMANDS = ("curriculum.compare", "curriculum.sweep")
KINDS: dict[str, Any] = {
    "nodes": int,
    "cpus": int,
    "gpus": int,
    "memory": str,
    "time": str,
    "partition": str,
    "account": str,
    "job-name": str,
    "grace": int,
}
HELP = {
    "nodes N": "nodes of the job (2)",
    "cpus N": "cores of each node (8)",
    "gpus N": "GPUs of each node (0)",
    "memory SIZE": "of each node, such as 32G (Slurm's own default)",
    "time LIMIT": "such as 12:00:00 or 2-00:00:00 (24:00:00)",
    "partition NAME": "of the cluster (Slurm's own default)",
    "account NAME": "that pays (Slurm's own default)",
    "job-name NAME": "of the job (curriculum)",
    "grace SECONDS": "before the time limit, when runs save checkpoints and the "
    "command ends; the same job goes on with them (120)",
}
MOST = 100_000  # nodes, cores, GPUs of a node, seconds
TIME = re.compile(r"\d+(-\d+(:\d+){0,2}|(:\d+){0,2})")
WORD = re.compile(r"[\w.,:+-]+")  # what a directive may hold


class Job(NamedTuple):
    """What a job asks for."""

    nodes: int = 2
    cpus: int = 8
    gpus: int = 0
    memory: str = ""
    time: str = "24:00:00"
    partition: str = ""
    account: str = ""
    job_name: str = "curriculum"
    grace: int = 120


def help_text() -> str:
    """What `--help` shows."""
    lines = [USAGE, "", "flags of a job, which are those of each node:"]
    for flag, text in HELP.items():
        lines.append(f"  --{flag}")
        indent = " " * 6
        lines += textwrap.wrap(
            text, 76, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(lines)


def write(argv: Sequence[str]) -> Path:
    """Write the script that a command line asks for; ValueError says what is wrong with
    it, before anything is written."""
    path, job, command = read(argv)
    if path.exists():
        raise ValueError(f"{path} exists; give another FILE, or remove it")
    if not path.absolute().parent.is_dir():
        raise ValueError(
            f"{path.parent} is not a folder; make it, or give another FILE"
        )
    write_text(path, script(job, command))
    path.chmod(0o755)
    return path


def read(argv: Sequence[str]) -> tuple[Path, Job, list[str]]:
    """The file, the job, and the module and words of the command that a command line
    names; ValueError says what is wrong with it."""
    words, command = _split(argv)
    if not words or words[0].startswith("-"):
        raise ValueError(USAGE)
    return Path(words[0]), _read(words[1:]), command


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the job, and the module and words of the command behind `--`."""
    if "--" not in argv:
        raise ValueError(USAGE)
    at = list(argv).index("--")
    command = [*argv[at + 1 :]]
    if "-m" in command[:2]:
        command = command[command.index("-m") + 1 :]
    if not command or command[0] not in COMMANDS or "slurm" in command[1:2]:
        given = shlex.join(command)[:80]
        raise ValueError(
            f"after -- comes the command to run, one of {', '.join(COMMANDS)} with its "
            f"flags, got {given!r}"
        )
    for flag in flags.scan(command[1:]):
        if flag.name in ("on", "address", "dashboard"):
            raise ValueError(f"--{flag.name} is set by the job; leave it out")
    return [*argv[:at]], command


def _read(words: Sequence[str]) -> Job:
    given: dict[str, Any] = {}
    for flag in flags.scan(words):
        if flag.name not in KINDS:
            hint = suggestion(flag.name, KINDS).replace("meant ", "meant --")
            raise ValueError(f"there is no flag --{flag.name}{hint}")
        try:
            given[flag.name] = values.read(KINDS[flag.name], flag.values)
        except values.Mismatch as problem:
            raise ValueError(f"--{flag.name} {problem}") from None
    for name, value in given.items():
        low = 0 if name in ("gpus", "grace") else 1
        if isinstance(value, int) and not low <= value <= MOST:
            raise ValueError(
                f"--{name} must be between {low} and {MOST:,}, got {value:,}"
            )
        if isinstance(value, str) and not WORD.fullmatch(value):
            raise ValueError(
                f"--{name} must be of letters, digits and . , : + -, got {value[:60]!r}"
            )
    if not TIME.fullmatch(given.get("time", Job().time)):
        raise ValueError(
            f"--time looks like 12:00:00 or 2-00:00:00, got {given['time']!r}"
        )
    return Job(**{name.replace("-", "_"): value for name, value in given.items()})


def script(job: Job, command: Sequence[str]) -> str:
    """The script of a job that runs `command`, the module and its words, in the present
    folder and with the present interpreter."""
    directives = {
        "job-name": job.job_name,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": job.cpus,
        "gpus-per-node": job.gpus,
        "mem": job.memory,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "output": "%x-%j.log",
        "signal": f"B:TERM@{job.grace}" if job.grace else "",
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in directives.items() if value]
    folder = shlex.quote(str(Path(sys.executable).parent))
    return TEMPLATE.format(
        directives="\n".join(lines),
        cwd=shlex.quote(os.getcwd()),
        binaries=folder,
        cpus=job.cpus,
        gpus=job.gpus,
        workers=job.nodes - 1,
        command=shlex.join(["python", "-m", *command]),
    )


TEMPLATE = """\
#!/bin/bash
{directives}

# Submit this again after a time limit: what is finished is not trained again.
set -euo pipefail
cd {cwd}
export PATH={binaries}:"$PATH"
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token  # other users of the nodes are kept out
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${{nodes[0]}}
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address)
port=$((20000 + SLURM_JOB_ID % 20000))
address=${{ip%% *}}:$port
step=(srun --overlap --ntasks-per-node=1)
ray=(ray start --block --num-cpus={cpus} --num-gpus={gpus})

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
"${{step[@]}}" --nodes=1 --ntasks=1 --nodelist="$head" "${{ray[@]}}" --head \\
    --node-ip-address="${{ip%% *}}" --port="$port" --include-dashboard=false &
until (echo >"/dev/tcp/${{ip%% *}}/$port") 2>/dev/null; do sleep 1; done
if [ {workers} -gt 0 ]; then
    "${{step[@]}}" --nodes={workers} --ntasks={workers} --exclude="$head" \\
        "${{ray[@]}}" --address="$address" &
fi

{command} --on ray --address "$address" &
running=$!
trap 'kill -TERM "$running"' TERM  # before the time limit: save checkpoints
status=0
wait "$running" || status=$?
while kill -0 "$running" 2>/dev/null; do  # the signal has ended `wait`
    wait "$running" && status=0 || status=$?
done
exit "$status"
"""
