"""The command line: `queued` runs and prepares the daemon, `queuectl` looks and acts, with or without a daemon.

The composition root: only here settings, store, log and supervisor meet. One module for each noun, each with `add` (its
parser) and one function for each verb, which prints and returns an exit code. What a plain command does not need is imported
inside the function that needs it: shells and completion start these programs often.
"""
