"""Kill runs at random moments, resume them, and compare them with runs that were not.

    python tests/campaigns/kills.py --kills 200 --seed 0 --races 20

Every configuration is trained once without a kill. Then it is trained again and killed
by SIGKILL, SIGTERM or SIGINT, resumed, killed again, and so on until it is finished:
records, progress.csv and policies must be those of the first run, times excluded. After
every kill the records must be readable and no fewer than before. A race starts two
processes on one folder: exactly one must work.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TRAIN = (
    "--steps 240 --eval-every 80 --eval-episodes 3 --checkpoint-every 80 "
    "--log-every 40 --learner.hidden 16 --learner.batch-size 16 --rows 4"
)
START = "--start.size 200"
BOX = "--env pendulum --planner swing_up"
EXPERT = (
    "--planner.max-steps 1500 --planner.eval-every 500 --planner.eval-episodes 3 "
    "--planner.hidden 16 --planner.until-success 0 --planner.cache {cache}"
)
CONFIGURATIONS = (
    START,
    f"{START} --seeds 0 1 2 --bonus rnd",
    f"{START} --start random --offline-updates 600",
    f"{START} --seeds 0 1 --planner explorer --freeze-buffer-after 160",
    f"{BOX} {START} --learner sac --planner explorer --planner.bonus ensemble",
    "--start none --decay constant",
    f"{START} --gate episode --decay performance",
    f"{START} --sampling symmetric --store learner",
    f"{START} --learner iql --offline-updates 300",
    f"{START} --learner cql --eval-episodes 20",
    f"{START} --planner mcts --planner.simulations 4 --planner.episodes 2",
    f"{START} --techniques quantize --compress-every 120",
    f"{BOX} {START} --learner sac",
    f"{BOX} {START} --learner td3bc --offline-updates 200",
    f"{BOX} {START} --learner calql --seeds 3 4",
    f"--env cartpole {START} --planner balance --gate horizon",
    f"--env pointmass {START} --eval-episodes 2",
    f"{START} --planner dqn {EXPERT}",
    f"{START} --seeds 0 1 --collectors 2 --planner.budget 300",
    f"{BOX} {START} --learner sac --collectors 4 --round-steps 5 --rounds-ahead 2",
)
COMPARISONS = (
    f"{START} --decay constant linear --steps 160",
    "--start random none --seeds 0 1 --steps 160",
    f"{START} --decay constant linear --steps 160 --jobs 2",
)
# what a finished run or comparison leaves behind
REPORT = ("result.json", "seeds.csv", "curves.csv", "verdicts.csv", "curves.png")
COLUMNS = 11  # of the results of a comparison
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def spawn(module: str, words: list[str], log: Path) -> int:
    """Run a command in a copy of this process, which has imported everything."""
    child = os.fork()
    if child:
        return child
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    status = 1
    try:
        from curriculum import compare, train

        {"train": train, "compare": compare}[module].main(words)
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, seconds: float = 600.0) -> int | None:
    """The exit status of a child, negative for a signal; None if it still runs."""
    ending = time.monotonic() + seconds
    while time.monotonic() < ending:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


# --- what must hold ---


def lines_of(path: Path) -> list[dict]:
    """The records of a file; raises where a complete line cannot be read."""
    text = path.read_text()
    return [json.loads(x) for x in text.splitlines(keepends=True) if x.endswith("\n")]


def timeless(path: Path) -> list:
    """Records without what a clock measured; compressions, which come when a worker has
    measured them, are last."""
    found = []
    for line in lines_of(path):
        if line["kind"] == "time":
            continue
        values = {t: v for t, v in line["values"].items() if not t.endswith("_us")}
        found.append((line["kind"], line["step"], values))
    return sorted(found, key=lambda record: record[0] == "compress")


def evaluations(path: Path) -> list[dict[str, str]]:
    """Rows of progress.csv without measured latencies."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{t: v for t, v in row.items() if not t.endswith("_us")} for row in rows]


def without_times(table: Path) -> list[list[str]]:
    """The rows of a comparison without what a clock measured: its last two columns."""
    rows = [line.split(" | ") for line in table.read_text().splitlines()]
    return [row[:-2] if len(row) == COLUMNS else row for row in rows]


def problems_of(folder: Path, seen: Counter) -> list[str]:
    """What is wrong with a folder after a kill; `seen` counts its records so far."""
    found = []
    for path in folder.rglob("metrics.jsonl"):
        try:
            count = len(lines_of(path))
        except ValueError as error:
            found.append(f"{path} cannot be read: {error}")
            continue
        if count < seen[str(path)]:
            found.append(f"{path} was shortened: {seen[str(path)]} -> {count}")
        seen[str(path)] = count
    for known in seen:
        if not Path(known).is_file():
            found.append(f"{known} is gone")
    return found


def differences(whole: Path, other: Path) -> list[str]:
    """Files of a run that are not those of the run that was not killed."""
    found = []
    for path in sorted(whole.rglob("*")):
        mate = other / path.relative_to(whole)
        compared = path.name.startswith("policy-")
        if path.name == "progress.csv":
            if not mate.is_file() or evaluations(path) != evaluations(mate):
                found.append(f"{mate} differs")
        elif path.name == "metrics.jsonl":
            if not mate.is_file() or timeless(path) != timeless(mate):
                found.append(f"{mate} differs")
        elif compared and "compressed" not in path.parts:
            if not mate.is_file() or path.read_bytes() != mate.read_bytes():
                found.append(f"{mate} differs")
        elif path.name == "table.md":
            if not mate.is_file() or without_times(path) != without_times(mate):
                found.append(f"{mate} differs")
        elif path.name in REPORT and not mate.is_file():
            found.append(f"{mate} is missing")
    return found


# --- the campaign ---


class Campaign:
    """Counts kills and problems."""

    def __init__(
        self, folder: Path, seed: int, signals: Sequence[signal.Signals] = SIGNALS
    ):
        self.folder = folder
        self.signals = signals
        self.rng = random.Random(seed)
        self.log = folder / "log.txt"
        self.problems: list[str] = []
        self.kills: Counter = Counter()
        self.references: dict[int, tuple[Path, float]] = {}

    def words(self, number: int, where: str) -> tuple[str, list[str]]:
        """The command of a configuration, written to `where`."""
        module = "train" if number < len(CONFIGURATIONS) else "compare"
        text = (*CONFIGURATIONS, *COMPARISONS)[number]
        text = text.replace("{cache}", str(self.folder / where / "cache"))
        runs = str(self.folder / where)
        place = ["--name", "run", "--runs-dir", runs]
        return module, [*TRAIN.split(), *text.split(), *place]

    def reference(self, number: int) -> tuple[Path, float]:
        """The run that is not killed, and how long it takes."""
        if number not in self.references:
            module, words = self.words(number, f"whole-{number}")
            began = time.monotonic()
            status = wait(spawn(module, words, self.log))
            if status != 0:
                raise SystemExit(f"configuration {number} fails; see {self.log}")
            folder = self.folder / f"whole-{number}"
            self.references[number] = (folder, time.monotonic() - began)
        return self.references[number]

    def torture(self, number: int, most: int) -> None:
        """Train a configuration with up to `most` kills and compare it."""
        whole, seconds = self.reference(number)
        where = f"killed-{number}"
        module, words = self.words(number, where)
        # a comparison goes on by the same command
        again = [*words, "--resume", "auto"] if module == "train" else words
        folder = self.folder / where
        shutil.rmtree(folder, ignore_errors=True)
        seen: Counter = Counter()
        for _ in range(most):
            child = spawn(module, again, self.log)
            number_sent = self.rng.choice(self.signals)
            status = wait(child, self.rng.uniform(0, 1.1 * seconds))
            if status is None:
                os.kill(child, number_sent)
                status = wait(child, 30)
                if status is None:
                    self.problems.append(f"{where} ignores {number_sent.name}")
                    os.kill(child, signal.SIGKILL)
                    wait(child)
                self.kills[f"{module} {number_sent.name}"] += 1
            allowed = (0, -number_sent, 128 + number_sent)
            if status not in allowed:
                self.problems.append(f"{where} ended with {status}")
            self.problems += problems_of(folder, seen)
            if status == 0:
                break
        else:
            status = wait(spawn(module, again, self.log))
            if status != 0:
                self.problems.append(f"{where} cannot be resumed: {status}")
        self.problems += differences(whole, folder)

    def race(self, number: int) -> None:
        """Two processes resume one folder at once: exactly one must work."""
        where = f"race-{number}"
        module, words = self.words(number % len(CONFIGURATIONS), where)
        child = spawn(module, words, self.log)
        folder = self.folder / where
        while not list(folder.glob("*/run/checkpoints/step-*")):
            if wait(child, 0.01) is not None:
                return
        os.kill(child, signal.SIGKILL)
        wait(child)
        again = [*words, "--resume", "auto"]
        if number % 2:
            again = ["--resume", str(next(folder.glob("*/run")))]
        pair = [spawn(module, again, self.log) for _ in range(2)]
        statuses = sorted(str(wait(child)) for child in pair)
        if statuses[0] != "0" or statuses[1] not in ("1", "2"):
            self.problems.append(f"{where}: the two ended with {statuses}")
        whole, _ = self.reference(number % len(CONFIGURATIONS))
        self.problems += differences(whole, folder)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the campaign and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="configurations")
    parser.add_argument("--signals", nargs="*", default=[], help="such as SIGKILL")
    parser.add_argument("--most", type=int, default=4, help="kills of one run")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    options = parser.parse_args()
    ending = time.monotonic() + options.seconds
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    signals = [signal.Signals[name] for name in options.signals] or SIGNALS
    campaign = Campaign(folder, options.seed, signals)
    numbers = options.only or range(len(CONFIGURATIONS) + len(COMPARISONS))
    print(f"in {folder}", flush=True)
    rounds = 0
    while campaign.kills.total() < options.kills and time.monotonic() < ending:
        for number in numbers:
            if campaign.kills.total() >= options.kills or time.monotonic() > ending:
                break
            known = len(campaign.problems)
            campaign.torture(number, most=campaign.rng.randint(1, options.most))
            for problem in campaign.problems[known:]:
                print(f"PROBLEM {problem}", flush=True)
            rounds += 1
            print(f"{campaign.kills.total()} kills, round {rounds}", flush=True)
    races = 0
    for number in range(options.races):
        if time.monotonic() > ending:
            break
        campaign.race(number)
        races += 1
    print(f"{dict(campaign.kills)}, {races} races, {len(campaign.problems)} problems")
    print("\n".join(campaign.problems))
    raise SystemExit(bool(campaign.problems))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    import torch

    import curriculum.compare
    import curriculum.contract
    import curriculum.listeners.tensorboard
    import curriculum.report.figures
    import curriculum.run.loop
    import curriculum.train  # noqa: F401

    torch.set_num_threads(1)
    main()
