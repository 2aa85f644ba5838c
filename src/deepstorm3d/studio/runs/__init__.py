"""Long work in processes of its own, which go on when the page is closed and the server is stopped.

A run is a command line of the program, the same that the page shows to copy. `shelf.Shelf` starts, stops and
resumes the runs of a folder; `record.Run` is one of them at one moment.
"""
