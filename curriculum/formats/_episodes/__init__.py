"""Parts of all formats: checked episodes, and errors of damaged files."""
