"""Files that can run code are read only if the user says so."""

import io
import sys

import pytest

from curriculum import trust
from curriculum.trust import Untrusted, require_trust, trusting


def test_nothing_is_trusted_by_default():
    with pytest.raises(ValueError, match=r"the zip a\.zip .* give --trust"):
        require_trust("the zip a.zip")


def test_trust_ends_with_its_context():
    with trusting():
        require_trust("the zip a.zip")
    with pytest.raises(Untrusted, match="give --trust"):
        require_trust("the zip a.zip")


def test_a_plug_in_named_by_the_user_is_trusted_and_no_other():
    with trusting(False, ["mine.py"]):
        require_trust("the plug-in mine.py", "mine.py")
        with pytest.raises(Untrusted):
            require_trust("the plug-in other.py", "other.py")
        with pytest.raises(Untrusted):
            require_trust("the zip mine.py")


def test_what_was_trusted_before_remains_trusted():
    with trusting(), trusting(False, ["mine.py"]):
        require_trust("the zip a.zip")
    with trusting(False, ["mine.py"]), trusting(False, ["other.py"]):
        require_trust("the plug-in mine.py", "mine.py")


@pytest.mark.parametrize(
    ("answer", "trusted"), [("y\n", True), ("no\n", False), ("", False)]
)
def test_the_user_is_asked_once_on_a_terminal(answer, trusted, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(trust, "_answers", set())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    if trusted:
        require_trust("the zip a.zip")
        require_trust("the zip a.zip")
    else:
        with pytest.raises(Untrusted, match=r"^the zip a\.zip was not trusted$"):
            require_trust("the zip a.zip")
    assert capsys.readouterr().err.count("Do you trust it?") == 1
