"""Values of settings: what text and objects of Python mean by the type of a field."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from curriculum.setting import flags, values
from curriculum.setting.config import Config
from curriculum.setting.spelling import closest


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        (int, ["1e6"], 1_000_000),
        (int, ["1_000_000"], 1_000_000),
        (int, ["-3"], -3),
        (int, ["20.0"], 20),
        (float, ["1e-3"], 0.001),
        (float, [".inf"], math.inf),
        (bool, ["off"], False),
        (bool, ["Yes"], True),
        (str, ["off"], "off"),
        (str, ["2024-01-01"], "2024-01-01"),
        (Literal["auto", "off"], ["off"], "off"),
        (tuple[int, ...], ["1e2", "7"], (100, 7)),
        (tuple[str, ...], [], ()),
        (int | None, ["4"], 4),
    ],
)
def test_text_means_what_the_type_of_its_field_says(
    kind: Any, words: list[str], expected: Any
):
    found = values.read(kind, words)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "words", "says"),
    [
        (int, ["2.5"], "must be a whole number, got '2.5'"),
        (int, ["nan"], "must be a whole number"),
        (int, ["1e999999999"], "must be smaller than 2**63"),
        (int, ["9" * 5000], "must be smaller than 2**63"),
        (float, ["nan"], "must be a number, got 'nan'"),
        (bool, ["maybe"], "must be true or false"),
        (Literal["a", "b"], ["c"], "must be one of a, b, got 'c'"),
        (str, ["a", "b"], "takes one value, got 'a b'"),
        (str, [], "needs a value"),
        (dict, ["x"], "cannot be given as text"),
    ],
)
def test_text_of_another_type_is_refused_in_few_words(
    kind: Any, words: list[str], says: str
):
    with pytest.raises(values.Mismatch) as refused:
        values.read(kind, words)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 200


def refused(text: str | bytes, tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"mine\.yaml") as error:
        flags.read(["--config", str(path)])
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: null\n", "name has no value"),
        ("name:\n", "name has no value"),
        (BOMB, "anchor or an alias"),
        ("name: !!python/name:os.system\n", "has a tag"),
        ("steps: 4\nsteps: 5\n", "steps is set twice, again in line 2"),
        ("eval-every: 4\neval_every: 5\n", "eval_every is set twice"),
        ("stepz: 4\n", "no setting 'stepz' (perhaps you meant steps)"),
        ("learner:\n  discount: 1\n", "flat list"),
        ("- steps\n", "flat list"),
        ("hello\n", "flat list"),
        ("steps: 4\n---\nsteps: 5\n", "more than one document"),
        ("steps: 2024-01-01\n", "steps must be a whole number"),
        ("seeds: [" + "9" * 5000 + "]\n", "smaller than 2**63"),
        ("trust: true\n", "give --trust on the command line"),
        ("resume: auto\n", "give --resume on the command line"),
        ("planner: [a, b]\n", "planner takes one value"),
        ("steps: [", "not valid YAML"),
        (b"name: \xff\n", "not UTF-8"),
        (b"name: a\0b\n", "not valid YAML"),
        ("#" * 300_000, "larger than settings can be"),
        ("[" * 100_000, "flat list"),
    ],
)
def test_a_wrong_settings_file_is_refused_in_one_sentence(
    text: str | bytes, says: str, tmp_path: Path
):
    assert says in refused(text, tmp_path)


def test_text_in_a_file_stays_text(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "runs_dir: --help\ncompile: off\ntechniques: quantize\neval-mixed: no\n"
        "name: 'null'\nsteps: 1e3\n"
    )
    config = flags.read(["--config", str(path)]).config
    assert (config.runs_dir, config.engine, config.name) == ("--help", "torch", "null")
    assert (config.techniques, config.steps) == (("quantize",), 1000)
    assert config.eval_mixed is False


@pytest.mark.parametrize("place", ["/dev/zero", "."])
def test_only_a_file_is_a_settings_file(place: str):
    with pytest.raises(ValueError, match="it is not a file"):
        flags.read(["--config", place])


def test_code_that_a_settings_file_names_needs_trust(tmp_path: Path):
    plugin = tmp_path / "canary.py"
    plugin.write_text("raise SystemExit('it was run')\n")
    for line in (
        f"decay: {plugin}",
        "planner: canary:Planner",
        f"techniques: {plugin}",
        f"techniques: {plugin}+quantize",
        f"techniques: quantize+{plugin}",
    ):
        assert "give --trust" in refused(f"{line}\n", tmp_path)


def test_code_of_a_settings_file_that_a_flag_replaces_is_not_run(tmp_path: Path):
    plugin = tmp_path / "canary.py"
    plugin.write_text("raise SystemExit('it was run')\n")
    path = tmp_path / "mine.yaml"
    path.write_text(f"techniques: {plugin}+quantize\n")
    config = flags.read(["--config", str(path), "--techniques", "prune"]).config
    assert config.techniques == ("prune",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--learner qcl", "(perhaps you meant cql)"),
        ("--planer mcts", "'--planer' (perhaps you meant --planner)"),
        ("--learner iql --expectile .9", "(perhaps you meant --learner.expectile)"),
        ("--learner dqn --learner.expectile .9", "(only of iql"),
        ("--planner tlppo --planner.trust 1", "(only of mcts, mppi, shooting)"),
        ("--techniques quantize quantize", "techniques must differ"),
        ("--techniques prune+zip", "no technique 'zip'"),
        ("--techniques prune --distil.hidden 8", "it needs --techniques distil"),
        ("--techniques distil --distil.hiden 8", "perhaps you meant --distil.hidden"),
        ("--techniques prune --prune.share 1", "--techniques prune: share of units"),
        ("--shares planner=1 planner=2 --sampling fixed", "shares names planner twice"),
        ("--updates-per-step inf", "--updates-per-step must be finite, got inf"),
        ("--learner.learning-rate nan", "--learner.learning-rate must be a number"),
        ("--no-eval-mixed 3", "--no-eval-mixed takes no value"),
        ("--threads 1000000", "--threads must be between 1 and 4096"),
        ("--collectors -1", "--collectors must be between 0 and 1024, got -1"),
        ("--learner.batch-size 0", "--learner.batch-size must be at least 1"),
        ("--planner mcts --planner.trust nope", "must be a number or auto, got 'nope'"),
        ("--techniques distil --distil.hidden x", "--distil.hidden must be"),
        ("--round-steps 8", "--round-steps says how --collectors play"),
        ("--rounds-ahead 2 --collectors 0", "--rounds-ahead says how --collectors"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_sentence(words: str, says: str):
    with pytest.raises(ValueError, match=r".") as error:
        flags.read(words.split())
    message = str(error.value)
    assert says in message
    assert "For full helptext" not in message


def test_similar_names_are_those_with_the_fewest_typing_mistakes():
    assert closest("qcl", ["iql", "cql"]) == "cql"
    assert closest("gredy", ["balance", "greedy"]) == "greedy"
    assert closest("gredy", ["balance", "constant"]) == ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"steps": "x"}, "steps must be a whole number, got 'x'"),
        ({"rows": 2.5}, "rows must be a whole number, got 2.5"),
        ({"seeds": 3}, "seeds must be a list of whole numbers, got 3"),
        ({"seeds": ["a"]}, "seeds must be a whole number, got 'a'"),
        ({"learner": "qcl"}, "no learner 'qcl'"),
        ({"decay": None}, "decay must be a name or an instance, got None"),
        ({"gate": 5}, "gate"),
        ({"techniques": "quantize"}, "techniques must be a list"),
        ({"techniques": ["quantize", "quantize"]}, "techniques must differ"),
        ({"updates_per_step": math.nan}, "updates_per_step must be a number, got nan"),
        ({"eval_mixed": 1}, "eval_mixed must be True or False, got 1"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, got 'tpu'"),
        ({"name": 7}, "name must be text, got 7"),
        ({"steps": 10**5000}, "steps must be smaller than 2**63"),
    ],
)
def test_config_refuses_values_of_another_type(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=r".") as error:
        Config(**settings)
    assert says in str(error.value)


def test_config_takes_numbers_of_numpy_and_any_sequence(tmp_path: Path):
    given: dict[str, Any] = {"steps": np.int64(40), "seeds": range(2)}
    config = Config(**given, updates_per_step=1, runs_dir=tmp_path)  # type: ignore[arg-type]
    assert type(config.steps) is int
    assert config.seeds == (0, 1)
    assert type(config.updates_per_step) is float
    assert config.runs_dir == str(tmp_path)


def test_the_settings_of_an_instance_have_the_types_of_their_fields():
    from curriculum.decays.linear import Linear
    from curriculum.envs.gym import Gym

    linear = Linear()
    linear.duration = "long"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="decay Linear: duration must be a whole"):
        Config(decay=linear)
    with pytest.raises(ValueError, match="env Gym: success_return must be a number"):
        Config(env=Gym(id="CartPole-v1", success_return="high"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got the class Linear; give Linear\(\)"):
        Config(decay=Linear)


@pytest.mark.parametrize(
    ("former", "engine"), [("on", "compile"), ("off", "torch"), ("auto", "auto")]
)
def test_compile_is_the_engine_by_its_former_name(
    former: str, engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags._current_name.cache_clear()
    assert flags.read(["--compile", former]).config.engine == engine
    assert "--compile is now --engine" in capsys.readouterr().err
    path = tmp_path / "old.yaml"
    path.write_text(f"compile: {former}\n")
    assert flags.read(["--config", str(path)]).config.engine == engine
    assert "compile is now --engine" in capsys.readouterr().err
    with pytest.warns(FutureWarning, match="compile is now engine") as warned:
        assert Config(compile=former).engine == engine
    assert warned[0].filename == __file__


def test_an_unknown_value_of_the_former_name_is_refused():
    with pytest.raises(ValueError, match=r"--compile.*auto, torch, native, compile"):
        flags.read(["--compile", "perhaps"])
