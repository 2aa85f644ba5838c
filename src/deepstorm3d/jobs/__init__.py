"""The jobs: one short module each, from an experiment and files to files."""
