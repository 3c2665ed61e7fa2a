"""Parts of the formats that store all episodes in flat columns, one after another."""
