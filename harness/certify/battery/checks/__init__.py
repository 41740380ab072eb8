"""Each file has a few checks, in its CHECKS; a new file is picked up by being here."""
