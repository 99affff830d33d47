# What the application's interpreter is told to do first: `python -c "exec(this file)" DIRECTORY JSON`.
# It loads DIRECTORY as the package `_queued_runner` and never puts it on the path. Every Python understands these lines, so that
# one that is too old can say so.
import json
import os
import struct
import sys

directory, text = sys.argv[1:]
if sys.version_info < (3, 10):  # noqa: UP036
    message = "%s is Python %d.%d; queued needs 3.10 or later" % ((sys.executable,) + tuple(sys.version_info[:2]))  # noqa
    error = {"class": "ApplicationError", "message": message, "file": None, "line": None, "backtrace": []}
    body = json.dumps({"t": "load_failed", "error": error}).encode("ascii")
    os.write(json.loads(text)["control"], struct.pack(">I", len(body)) + body)
    sys.exit(70)

import importlib.util  # noqa: E402

# The application's modules must not be found before the interpreter's own while ours are loaded, and ours leave no files.
sys.path[:] = [entry for entry in sys.path if entry]
write_bytecode = not sys.dont_write_bytecode
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location(
    "_queued_runner", directory + "/__init__.py", submodule_search_locations=[directory]
)
assert spec is not None
assert spec.loader is not None
package = sys.modules["_queued_runner"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
sys.exit(importlib.import_module("_queued_runner.main").main(text, write_bytecode))
