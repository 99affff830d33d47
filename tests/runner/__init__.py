"""Tests of the runner and of the daemon's ends of it."""
