"""`gradrace export`: stored results in the formats of other tools."""
