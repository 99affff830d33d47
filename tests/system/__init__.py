"""Whole hosts: Debian with systemd as it is installed, on a private network, seen from an operator's seat.

`lab` holds the namespaces that all of it lives in, `tree` the file systems that hosts start from, `network` the wires,
`host` one booted system, `repository` the packages under test, `shop` the application whose jobs are run.
Root is needed, and a kernel that lets root make namespaces and overlays; `requirements` says what is missing.
"""
