"""A dense policy as a C header: C99, no allocation, nothing to link but the maths
library."""

import json
import math
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program

COMPILERS = ("cc", "gcc", "clang")
SECONDS = 120  # that the compiler may take
# what a program that tries the header does: observations in, scores out
MAIN = """#include <stdio.h>
#include "policy.h"

int main(void) {
  static float observation[POLICY_INPUTS], scores[POLICY_OUTPUTS];
  while (fread(observation, sizeof observation, 1, stdin) == 1) {
    policy_scores(observation, scores);
    fwrite(scores, sizeof scores, 1, stdout);
  }
  return 0;
}
"""
# of the operations; comparisons, unlike fmaxf, pass on what is not a number
LOOPS = {
    "normalise": """  for (int i = 0; i < {inputs}; i++)
    x[i] = (x[i] - {mean}[i]) * {scale}[i];""",
    "linear": """  for (int o = 0; o < {outputs}; o++) {{
    float sum = {bias}[o];
    for (int i = 0; i < {inputs}; i++) sum += {weight}[{inputs} * o + i] * x[i];
    y[o] = sum;
  }}
  swap = x, x = y, y = swap;""",
    # weights of int8
    "linear int8": """  for (int o = 0; o < {outputs}; o++) {{
    float sum = 0;
    for (int i = 0; i < {inputs}; i++) sum += {weight}[{inputs} * o + i] * x[i];
    y[o] = sum * {weight_scale}[o] + {bias}[o];
  }}
  swap = x, x = y, y = swap;""",
    "rounded": """  {{
    float step = {step};
    if (step == 0) {{
      for (int i = 0; i < {inputs}; i++) step = fmaxf(step, fabsf(x[i]));
      step = step > 0 ? step / 127 : 1;
    }}
    for (int i = 0; i < {inputs}; i++) {{
      float nearest = rintf(x[i] / step);
      x[i] = step * (nearest < -128 ? -128 : nearest > 127 ? 127 : nearest);
    }}
  }}""",
    "relu": "  for (int i = 0; i < {inputs}; i++) x[i] = x[i] < 0 ? 0 : x[i];",
    "tanh": "  for (int i = 0; i < {inputs}; i++) x[i] = tanhf(x[i]);",
    "layer_norm": """  {{
    float mean = 0, variance = 0;
    for (int i = 0; i < {inputs}; i++) mean += x[i] / {inputs};
    for (int i = 0; i < {inputs}; i++)
      variance += (x[i] - mean) * (x[i] - mean) / {inputs};
    for (int i = 0; i < {inputs}; i++)
      x[i] = (x[i] - mean) / sqrtf(variance + {eps});
  }}""",
    "affine": """  for (int i = 0; i < {inputs}; i++)
    x[i] = x[i] * {weight}[i] + {bias}[i];""",
}
CLIP = """
  for (int i = 0; i < {inputs}; i++)
    x[i] = x[i] < -{limit} ? -{limit} : x[i] > {limit} ? {limit} : x[i];"""
SCORES = """static inline void policy_scores(const float *observation, float *scores) {{
  float first[{widest}], second[{widest}];
  float *x = first, *y = second, *swap;
  for (int i = 0; i < POLICY_INPUTS; i++) x[i] = observation[i];
{loops}
  for (int i = 0; i < POLICY_OUTPUTS; i++) scores[i] = x[i];
}}"""
ACT_DISCRETE = """static inline int policy_act(const float *observation) {{
  float scores[POLICY_OUTPUTS];
  int best = 0;
  policy_scores(observation, scores);
  for (int i = 1; i < POLICY_OUTPUTS; i++)
    if (scores[i] > scores[best]) best = i;
  return best + {start};
}}"""
ACT_BOX = """{low}

{high}

{centre}

{half_width}

static inline void policy_act(const float *observation, float *action) {{
  policy_scores(observation, action);
  for (int i = 0; i < POLICY_OUTPUTS; i++) {{
    action[i] = policy_centre[i] + policy_half_width[i] * action[i];
    if (action[i] < policy_low[i]) action[i] = policy_low[i];
    if (action[i] > policy_high[i]) action[i] = policy_high[i];
  }}
}}"""


def write(program: Program, contract: dict[str, Any], path: Path) -> None:
    """Write the header to a draft; raises Unsupported for a policy that is not a chain
    of dense layers."""
    names = [about["op"] for about in program.operations]
    others = [name for name in dict.fromkeys(names) if name not in LOOPS]
    if others:
        raise Unsupported(
            "a C header holds dense policies, with or without layer norm; this one "
            f"needs {', '.join(others)}: export it as .cur or .onnx"
        )
    path.write_text(_header(program, contract))


def scores(path: Path, obs: np.ndarray) -> np.ndarray:
    """What the header computes for observations [n, *O]: it is compiled and run."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise ValueError(
            "a C header is compiled to check it, and there is no C compiler; install "
            f"one of {', '.join(COMPILERS)}"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(path, folder / "policy.h")
        (folder / "main.c").write_text(MAIN)
        words = [compiler, "-std=c99", "-O1", "-o", "main", "main.c", "-lm"]
        _run(words, folder)
        rows = obs.reshape(len(obs), -1).astype(np.float32)
        output = _run([str(folder / "main")], folder, rows.tobytes())
    return np.frombuffer(output, np.float32).reshape(len(obs), -1)


def _run(words: list[str], folder: Path, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            words, cwd=folder, input=given, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{words[0]} took more than {SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines()
        problem = next((line for line in lines if "error" in line), "no reason given")
        raise ValueError(f"{words[0]} failed: {problem}")
    return done.stdout


def _header(program: Program, contract: dict[str, Any]) -> str:
    inputs = math.prod(contract["observation"]["shape"])
    loops, outputs, widest = _loops(program, inputs)
    parts = [
        _comment(contract),
        "#ifndef POLICY_H\n#define POLICY_H",
        "#include <math.h>",
        f"#define POLICY_INPUTS {inputs}\n#define POLICY_OUTPUTS {outputs}",
        *(_array(name, array) for name, array in program.arrays.items()),
        SCORES.format(widest=widest, loops="\n".join(loops)),
        _act(contract["action"]),
        "#endif\n",
    ]
    return "\n\n".join(parts)


def _comment(contract: dict[str, Any]) -> str:
    action = contract["action"]
    if action["kind"] == "discrete":
        scores = "one for each action, the largest acts"
        act = "the action for an observation, counted as the world does"
    else:
        scores = "the numbers of the action in [-1, 1]"
        act = "the action for an observation, in the units of the world"
    about = json.dumps(contract).replace("*/", "* /").replace("/*", "/ *")
    return (
        "/* A trained policy; C99, link with -lm.\n\n"
        f"policy_scores: {scores}.\n"
        f"policy_act: {act}.\n"
        "Observations are POLICY_INPUTS floats in the units of the world, all finite;\n"
        f"scores are POLICY_OUTPUTS floats. Exported from:\n\n"
        f"{textwrap.fill(about, 88)} */"
    )


def _array(name: str, array: np.ndarray) -> str:
    is_int8 = array.dtype == np.int8
    write = str if is_int8 else _number
    numbers = [write(number) for number in array.ravel().tolist()]
    text = textwrap.fill(", ".join(numbers), 88)
    kind = "signed char" if is_int8 else "float"
    return f"static const {kind} {_name(name)}[{array.size}] = {{\n{text}\n}};"


def _name(name: str) -> str:
    return f"policy_{name.replace('.', '_')}"


def _number(number: float) -> str:
    """A float of C, exactly: nine digits tell all floats apart."""
    text = f"{number:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _loops(program: Program, width: int) -> tuple[list[str], int, int]:
    """The loops of all operations, the number of scores, and the longest vector.

    A value lies in x; y takes the output of a dense layer, then they change places."""
    loops = []
    widest = width
    for about in program.operations:
        named = {
            key: _name(value) for key, value in about.items() if isinstance(value, str)
        }
        loop = LOOPS["linear int8" if "weight_scale" in about else about["op"]]
        outputs = width
        if about["op"] == "linear":
            outputs = len(program.arrays[about["bias"]])
        limit = about.get("limit")
        if limit:
            loop += CLIP
        settings = {
            "inputs": width,
            "outputs": outputs,
            "limit": _number(limit or 0.0),
            "eps": _number(about.get("eps", 0.0)),
            "step": _number(about.get("step", 0.0)),
        }
        loops.append(loop.format(**settings, **named))
        width = outputs
        widest = max(widest, width)
    return loops, width, widest


def _act(action: dict[str, Any]) -> str:
    if action["kind"] == "discrete":
        return ACT_DISCRETE.format(start=action["start"])
    low = np.array(action["low"], np.float32)
    high = np.array(action["high"], np.float32)
    return ACT_BOX.format(
        low=_array("low", low),
        high=_array("high", high),
        centre=_array("centre", (high + low) / 2),
        half_width=_array("half_width", (high - low) / 2),
    )
