"""Studies: files of comparisons, chosen by name."""

from pathlib import Path

import numpy as np
import pytest

from curriculum import compare
from curriculum.comparison import cost, options
from curriculum.comparison.study import write as write_study
from curriculum.report import study_page, tables
from curriculum.report.study_page import Result
from curriculum.report.verdicts import Verdict
from curriculum.setting import arms, flags, studies
from curriculum.setting.flags import Flag

NEVER = np.full(3, np.nan)
SOON = np.array([10, 20, np.nan])
STEPS = Flag("steps", ["7"])
SMALL = """# Is a start of the planner's worth it?
by: env.start
env.start: [random, fixed]
learner: dqn
learner.hidden: [16]
learner.batch-size: 16
arm:
  - "expert: --start expert --start.size 64 --bonus none"
  - "nothing: --start none --bonus rnd"
offline-updates: 0
seeds: [0, 1]
steps: 80
eval-every: 40
eval-episodes: 2
log-every: 40
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(SMALL)
    return path


def arms_of(words: list[str]) -> dict[str, list[str]]:
    return arms.parse(options.read(words)[1]).command_lines


@pytest.mark.parametrize("name", studies.names())
def test_every_study_can_be_made_as_it_is(name: str):
    (study,) = studies.find(["--study", name])
    assert study.name == name
    assert study.question.endswith("?")
    wanted, _ = options.read(study.command_lines[-1])
    assert wanted.study == name
    found = arms_of(study.command_lines[-1])
    kinds = {name.partition(" ")[0]: words for name, words in found.items()}
    for words in kinds.values():
        config = flags.read(words).config
        assert len(config.seeds) >= 10
        for tag in wanted.terms.tags:
            assert not tag.startswith("map/") or config.map_every


def test_every_value_of_by_makes_a_comparison_and_every_arm_is_in_each(own: Path):
    (study,) = studies.find(["--study", str(own)])
    starts = []
    for words in study.command_lines:
        found = arms_of(words)
        assert list(found) == ["expert", "nothing"]
        configs = [flags.read(own_words).config for own_words in found.values()]
        starts.append({config.plugged()["env"].start for config in configs})
        assert [config.bonus for config in configs] == ["none", configs[1].bonus]
    assert starts == [{"random"}, {"fixed"}]


def test_flags_win_over_a_study_and_over_its_arms(own: Path):
    words = ["--study", str(own), "--bonus", "none", "--env.start", "fixed"]
    (study,) = studies.find([*words, "--learner.exploration", "0.1", "0.2"])
    (line,) = study.command_lines
    found = {name: flags.read(words).config for name, words in arms_of(line).items()}
    assert len(found) == 4  # two arms, with two values of exploration
    assert {config.bonus for config in found.values()} == {"none"}
    assert {config.learner.exploration for config in found.values()} == {0.1, 0.2}


def test_arms_that_flags_make_the_same_are_made_once(own: Path):
    words = ["--study", str(own), "--bonus", "none", "--start", "none"]
    (study,) = studies.find([*words, "--start.size", "64"])
    assert study.command_lines[0].count("--arm") == 1


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["2a", "pointmass-5"], ["pointmass-2a", "pointmass-5"]),
        (["all"], studies.names()),
        (["my-folder", "--start", "none", "expert"], []),
    ],
)
def test_studies_are_named_in_full_or_in_short(words: list[str], names: list[str]):
    assert [each.name for each in studies.find(["--study", *words])] == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pointmass-1b"], "no study 'pointmass-1b' .perhaps you meant pointmass-1a"),
        (["none.yaml"], "--study none.yaml: there is no such file"),
    ],
)
def test_what_is_no_study_is_refused(words: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        studies.find(["--study", *words])


def test_a_list_of_studies_is_printed(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as ending:
        compare.main(["--study", "list"])
    assert ending.value.code == 0
    assert capsys.readouterr().out.count("\n") == len(studies.names()) + 2


def test_the_cost_of_a_study_counts_arms_seeds_and_probed_seconds(
    own: Path, monkeypatch: pytest.MonkeyPatch
):
    probed = {"call": 0.0, "step": 0.5, "update": 9.0, "evaluation": 2.0}
    monkeypatch.setattr(cost, "probe", lambda config: probed)
    (study,) = studies.find(["--study", str(own)])
    first, second = cost.costs(study)
    # two arms of two seeds of 80 steps and a quarter as many updates
    assert (first.arms, first.steps, first.updates) == (2, 320, 80)
    # each arm: 10 steps of 8 rows, and three evaluations alone and mixed
    assert first.seconds == pytest.approx(2 * (10 * 0.5 + 6 * 2.0), abs=4)
    assert "in all about" in cost.text(study, [first, second])


def test_the_page_of_a_study_names_the_best_and_the_worst_arm():
    values = {
        "low": {"final return": np.array([1.0, 2, 3]), "first success at step": NEVER},
        "high": {"final return": np.array([3.0, 5, 7]), "first success at step": SOON},
    }
    result = Result("maze", "maze/table.md", values, ["high wins"])
    page = study_page.markdown("study", "Which?", "command", [result], "study.png")
    # deviations 1 and 2 of three seeds, and t = 4.303 for two degrees of freedom
    assert "| low | 2.00 [-0.48, 4.48] | never (0 of 3 seeds) |" in page
    assert "| high | 5.00 [0.03, 9.97] | 20 (2 of 3 seeds) |" in page
    assert "Highest return: high, 5.00; lowest: low, 2.00" in page
    assert "difference +3.00 [+0.52, +5.48]" in page
    assert "- high wins" in page
    del values["high"]
    page = study_page.markdown("study", "Which?", "command", [result], "study.png")
    assert "| arm | final return |\n" in page, "nobody ever succeeded"


def test_a_study_of_ones_own_is_read_before_its_name_is_a_folder(
    own: Path, capsys: pytest.CaptureFixture
):
    with pytest.raises(SystemExit):
        compare.main(["--study", str(own), "--learner.hidden", "0"])
    assert "--learner.hidden" in capsys.readouterr().err


def test_the_page_of_a_study_tells_who_won(own: Path, tmp_path: Path):
    folder = tmp_path / "pointmass-easy" / "compare"
    folder.mkdir(parents=True)
    won = Verdict(
        *("new", "old", "final return", 3.0, 2.0, 4.0, 0, 0, 2, 2, 0.01),
        winner="new",
        text="new is higher",
    )
    open_ = won._replace(winner="", text="no difference found")
    (folder / "verdicts.csv").write_text(tables.verdicts_csv([won, open_]))
    (folder / "seeds.csv").write_text(
        "arm,seed,final return\nold,0,1\nold,1,2\nnew,0,4\nnew,1,5\n"
    )
    (study,) = studies.find(["--study", str(own)])
    study = study._replace(differences=[[Flag("env.maze", ["easy"]), STEPS]])
    page = write_study(study, ["command"], [folder]).read_text()
    assert "\n## pointmass-easy, steps 7\n" in page
    assert "- final return, against old: new is higher\n" in page
    assert "no difference found" not in page


@pytest.mark.slow  # trains
def test_a_study_says_what_it_costs_and_writes_a_page(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    words = ["--study", str(own), "--runs-dir", str(tmp_path / "runs")]
    compare.main([*words, "--env.start", "fixed"])
    said = capsys.readouterr().out
    # two arms of two seeds of 80 steps and a quarter as many updates
    assert "2 arms, 320 environment steps, 80 updates, about" in said
    page = (tmp_path / "runs" / "own" / "own.md").read_text()
    assert "Is a start of the planner's worth it?" in page
    assert "| expert | " in page
    assert "Highest return: " in page
    assert (tmp_path / "runs" / "own" / "own.png").stat().st_size > 10_000
    compare.main([*words, "--env.start", "fixed"])
    assert "is finished: nothing is trained" in capsys.readouterr().err
