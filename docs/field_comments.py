"""Show the comments of fields in the API pages: a field is documented by the comment
behind it, or by the comment lines right above it."""

import griffe


class FieldComments(griffe.Extension):
    """Use comments as docstrings of attributes that have none."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs) -> None:
        if attr.docstring or attr.annotation is None or not attr.endlineno:
            return
        lines = attr.lines_collection[attr.filepath]
        comment = _comment(lines, (attr.lineno or 1) - 1, attr.endlineno - 1)
        if comment:
            attr.docstring = griffe.Docstring(comment, parent=attr)


def _comment(lines: list[str], first: int, last: int) -> str:
    """The comment of the statement in lines `first` to `last`."""
    _, mark, beside = lines[last].partition("  # ")
    if mark:
        return beside.strip()
    above: list[str] = []
    for line in reversed(lines[:first]):
        text = line.strip()
        if not text.startswith("# ") or text.startswith("# ---"):
            break
        above.insert(0, text.removeprefix("# "))
    return " ".join(above)
