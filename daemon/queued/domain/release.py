"""Which release this is: for those who must say so and may not import the package's public face."""

#: As `queued.__version__`, which stands there by itself so that `import queued` loads nothing else, and as in pyproject.toml.
VERSION = "0.1.0"
