"""Files that can run code are read only if the user says so."""

import pytest

from curriculum.trust import require_trust, trusting


def test_nothing_is_trusted_by_default():
    with pytest.raises(ValueError, match=r"the zip a\.zip .* give --trust"):
        require_trust("the zip a.zip")


def test_trust_ends_with_its_context():
    with trusting():
        require_trust("the zip a.zip")
    with pytest.raises(ValueError, match="give --trust"):
        require_trust("the zip a.zip")
