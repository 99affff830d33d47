"""The only package that knows SQL. Every statement is a named section of a file under `sql/`.

`store.open_store(url)` gives a Store: one connection, for one thread. `with store.transaction() as session:` is the unit of
correctness; the operations on a table live in the module of its name and take the session first. They are written
once for both databases: only the text of a statement, and how a value is stored, may differ.
"""
