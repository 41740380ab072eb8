"""`gradrace time`: only the clock."""
