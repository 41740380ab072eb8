"""`gradrace compare`: stored results, or two sides run against each other."""
