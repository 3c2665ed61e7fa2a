"""Tables of compressed policies, and which one is picked."""

import math

import numpy as np
import pytest

from curriculum.report.compression_choice import Limits, choose
from curriculum.report.compression_table import Variant, share, tables, variants_of
from curriculum.report.evaluation_table import Row

FIGURES = {
    "agreement": 1.0,
    "parameter_bytes": 800.0,
    "params": 200.0,
    "peak_bytes": 900.0,
}


def row(name: str, *returns: list[float]) -> Row:
    """Returns of episodes, a list for each seed."""
    reward = np.array(returns)
    seeds = tuple(range(len(reward)))
    return Row(name, seeds, {"return": reward, "success": reward * np.nan})


def variant(
    name: str, reward: float, size: float = 1_000, latency_us: float = 10.0
) -> Variant:
    figures = FIGURES | {"bytes": size}
    for runner in ("numpy", "torch"):
        for batch in (1, 64):
            for percent in (50, 95, 99):
                figures[f"{runner}_{batch}_p{percent}_us"] = latency_us
    arrays = {figure: np.array([value]) for figure, value in figures.items()}
    return Variant(row(name, [reward, reward + 2]), arrays)


def test_the_share_of_a_return_is_paired_by_episode():
    original = row("fp32", [2.0, 4.0, 6.0])
    # three quarters in every episode: no spread is left
    assert share(row("a", [1.5, 3.0, 4.5]), original, -1.0) == (0.75, 0.75, 0.75)
    # a mean of 3 of 4; residuals 0.5, 0, -0.5 have a standard error of 0.5 / sqrt(3)
    found = share(row("b", [2.0, 3.0, 4.0]), original, -1.0)
    half_width = 4.303 * 0.5 / math.sqrt(3) / 4  # Student's t for two degrees
    assert found.mean == 0.75
    assert found.high - found.mean == pytest.approx(half_width, rel=1e-3)


def test_shares_of_a_return_that_is_not_positive_count_from_random_play():
    original = row("fp32", [-100.0, -200.0])
    found = share(row("a", [-150.0, -250.0]), original, -1_150.0)
    assert found.mean == pytest.approx(0.95)  # 950 of 1,000 above random play
    assert math.isnan(share(row("a", [1.0, 1.0]), original, math.nan).mean)
    assert math.isnan(share(row("a", [1.0, 1.0]), original, -100.0).mean)


def test_the_smallest_file_within_the_limits_is_picked():
    variants = [
        variant("fp32", 10.0),
        variant("slow", 10.0, 100, 50.0),
        variant("poor", 1.0, 50),
        variant("small", 9.9, 300, 8.0),
        variant("smaller", 9.9, 200, 20.0),
    ]
    assert choose(variants, Limits(), 0.0).name == "slow"
    assert choose(variants, Limits(max_latency_us=30), 0.0).name == "smaller"
    found = choose(variants, Limits(max_latency_us=10, max_bytes=400), 0.0)
    assert found.name == "small"
    assert found.reason == (
        "small is the smallest of 1 within the limits: 0.991 of the return, 300 bytes, "
        "8.0 us; its file has 0.300 of the bytes of fp32"
    )


def test_a_limit_that_nothing_meets_is_named_with_the_nearest():
    variants = [variant("fp32", 10.0), variant("small", 9.0, 300)]
    found = choose(variants, Limits(max_bytes=200), 0.0)
    assert found.name == ""
    assert found.reason.startswith("no policy fits 200 bytes; small comes nearest: ")
    found = choose(variants, Limits(max_bytes=400), 0.0)
    assert found.reason.startswith("no policy keeps to all limits at once; small ")
    found = choose(variants, Limits(max_latency_us=9), 0.0)
    assert found.reason.startswith("no policy acts within 9 us; ")


def test_the_tables_say_what_was_measured_and_what_is_left_out():
    variants = [variant("fp32", 10.0, 2_500), variant("small", 9.0)]
    found = tables(variants, 0.0, {"prune": "it has no layers"}, "one thread")
    lines = found.splitlines()
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[0] == "small"
    assert cells[2].startswith("0.909 [")
    assert cells[3:] == ["-", "1.000", "1.0", "0.8", "200", "0.9"]
    assert lines[8].count("10.0 / 10.0 / 10.0") == 4
    assert "Means over 2 episodes" in found
    assert "onnxruntime is not installed" in found
    assert "(one thread)" in found
    assert "prune is left out: it has no layers." in found


def test_one_seed_of_a_record_has_no_intervals():
    values = {
        f"compress/{name}/{figure}": value
        for name in ("fp32", "int8")
        for figure, value in variant(name, 1.0).figures.items()
    }
    for name in ("fp32", "int8"):
        values[f"compress/{name}/return"] = np.array([5.0])
        values[f"compress/{name}/success"] = np.array([0.5])
    found = tables(variants_of(values, (3,)))
    assert "| int8 " in found
    cells = [cell.strip() for cell in found.splitlines()[2].split("|")]
    assert cells[1:5] == ["fp32", "5.00", "", "0.50"]
    assert not any("[" in line for line in found.splitlines()[:4])
    assert "Means over all episodes of 1 seed" in found
