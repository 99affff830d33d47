"""Guest code: what runs jobs inside the application's own interpreter.

These files are read by two programs. The daemon imports `queued.runner.wire` and `queued.runner.slots`. The application's
interpreter loads the directory as the package `_queued_runner`, so that the application's own modules, its own `queued`
among them, are found as they would be without us. Therefore: the standard library only, relative imports only, and
Python 3.10 syntax.

    boot      the first lines: load these files     main      load the application, report, serve
    server    the fork server                       runner    one forked process: frames in, outcomes out
    threads   jobs in threads                       tasks     jobs as asyncio tasks
    gate      an exception for one job alone        attempts  the bookkeeping around each attempt
    channel   what is sent, and when                outcome   what an attempt came to, as text
    output    lines, tagged with the job            capture   what C code and other programs write
    slots     what runs, in a file that survives    wire      frames
"""
