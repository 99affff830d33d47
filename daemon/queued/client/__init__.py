"""What applications import: jobs, enqueue, and the guest side of the runner.

    application code ──► jobs.Job ──► sending ──► route ──► store, the caller's transaction, the runner's port, or a test's sink
    the runner ────────► guest ──► attempt ──► the job's function, its callbacks, `domain.retries`

Runs in the application's interpreter: Python 3.10 and later and the standard library; a database driver only where a
database is really spoken to. `import queued` loads names when they are first used.
"""
