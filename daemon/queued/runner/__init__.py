"""Guest code: what runs jobs inside the application's own interpreter.

These files are read by two programs. The daemon imports `queued.runner.wire` and `queued.runner.slots`. The application's
interpreter loads the directory as the package `_queued_runner`, so that the application's own modules, its own `queued`
among them, are found as they would be without us. Therefore: the standard library only, relative imports only, and
Python 3.10 syntax.

    server   the fork server: the application loaded once, a process forked for each worker that asks
    runner   one forked process: frames in, outcomes out
    threads  jobs in threads        tasks    jobs as asyncio tasks
    channel  what is sent, and when outcome   what an attempt came to, as text
    slots    what is running, in a file that survives us
    output   lines of the job's output, tagged with the job
"""
