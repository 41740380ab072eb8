"""Search under a budget: `gradrace tune`."""
