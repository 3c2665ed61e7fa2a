"""Parts of the formats that store all episodes in flat arrays, one after another."""
