"""Write policy files; `curriculum.shipping.standalone` reads and describes them."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors

from curriculum.files import replacing
from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import DOCUMENT, FORMAT, WEIGHTS, checksum

SUFFIX = ".cur"


def save(program: Program, contract: dict[str, Any], path: Path) -> None:
    """Write a policy file, whole or not at all; equal policies give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        write(program, contract, draft)


def write(program: Program, contract: dict[str, Any], path: Path) -> None:
    """Write a policy file to a draft."""
    # safetensors writes memory as it lies
    arrays = {name: np.asarray(a, order="C") for name, a in program.arrays.items()}
    weights = safetensors.save(arrays)
    document = {"format": FORMAT, **contract, "operations": program.operations}
    document["sha256"] = {
        DOCUMENT: checksum(document),
        WEIGHTS: hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(document, indent=1, allow_nan=False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo has the same date in every file
        archive.writestr(zipfile.ZipInfo(DOCUMENT), text)
        archive.writestr(zipfile.ZipInfo(WEIGHTS), weights)
