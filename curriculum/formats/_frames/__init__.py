"""Parts of the formats that store single pictures of stacked observations."""
