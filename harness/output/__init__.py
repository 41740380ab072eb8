"""What leaves the process as text.

Read terminal first: all printing goes through it. escaping makes texts that others wrote harmless,
once for each kind of reader. silenced keeps a user's prints off standard output."""
