"""What a file says about its data set: the manifest as bytes of JSON."""

import json
from typing import Any

LONGEST = 2**24  # bytes
# of a manifest, what is known of data that is written again
KEPT = ("spec", "env", "env_settings", "sources", "seeds", "reward")


def written(manifest: dict[str, Any]) -> bytes:
    """A manifest as it is stored in files."""
    return json.dumps(manifest).encode()


def kept(text: bytes | str) -> dict[str, Any]:
    """What `metadata` returns of a stored manifest; ValueError where it is damaged."""
    if len(text) > LONGEST:
        raise ValueError(f"its manifest has {len(text):,} bytes")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its manifest cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("its manifest is no dictionary")
    return {name: values[name] for name in KEPT if name in values}
