"""asv: which figures are followed over commits, and the export of stored results."""
