"""Networks trained on simulated frames: runs that can be stopped and taken up again."""
