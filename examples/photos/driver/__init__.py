"""What `run.py` is made of. It runs beside the daemon, in the daemon's interpreter, and speaks to it as an operator does."""
