"""Pure decisions: no input or output, no clock, no threads, standard library only.

Moments, pids, rows and random numbers come in as arguments; decisions go out as values. What carries them out lives in
`queued.storage`, `queued.processes` and `queued.client`.
"""
