"""The main verbs in memory, for notebooks and scripts: `import deepstorm3d as ds` offers them by name."""
