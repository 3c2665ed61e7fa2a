"""Techniques by flag: chains, their settings, and what settings files keep of them."""

from pathlib import Path
from typing import Any

import pytest

from curriculum.run import folders
from curriculum.setting import arms, flags, techniques
from curriculum.setting.config import Config, flat
from curriculum.techniques.distil import Distil
from curriculum.techniques.quantize import Quantize
from curriculum.types import Chain

CHAIN = "--techniques quantize distil+quantize --distil.hidden 16 8"


def settings_of(words: str) -> dict[str, Any]:
    return flat(flags.read(words.split()).config)


def test_settings_reach_a_technique_inside_a_chain_and_config_yaml(tmp_path: Path):
    config = flags.read(CHAIN.split()).config
    made: Any = techniques.make(config.techniques[1])
    assert made.parts == (Distil(hidden=(16, 8)), Quantize())
    path = tmp_path / "config.yaml"
    folders.write(path, flat(config))
    kept = flat(config)
    assert kept["techniques"] == ["quantize", "distil+quantize"]
    assert kept["distil.hidden"] == [16, 8]
    assert settings_of(f"--config {path}") == kept
    # settings of a technique that flags replace do not follow
    assert "distil.hidden" not in settings_of(f"--config {path} --techniques prune")


def test_compression_during_training_has_techniques_and_settings_by_default():
    kept = settings_of("--compress-every 100 --prune.share 0.25")
    assert kept["techniques"] == [*techniques.DEFAULT]
    assert (kept["prune.share"], kept["distil.updates"]) == (0.25, 4000)
    assert "techniques" in kept
    assert settings_of("--compress-every 0")["techniques"] == []


def test_a_technique_has_the_same_settings_wherever_it_is_used():
    with pytest.raises(ValueError, match=r"distil.hidden must be the same in all"):
        Config(techniques=(Distil(), Chain([Distil(hidden=(8,)), Quantize()])))


def test_arms_have_the_settings_of_their_techniques():
    words = ["--distil.hidden", "8", "8", "--arm", "a: --techniques distil+quantize"]
    found = arms.parse([*words, "--arm", "b: --techniques prune"]).command_lines
    assert found["a"][:3] == ["--distil.hidden", "8", "8"]
    assert "--distil.hidden" not in found["b"]
