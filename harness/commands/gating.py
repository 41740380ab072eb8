"""`gradrace gate`, `baseline` and `calibrate`: what may block a pull request."""
