"""Questions asked of camera frames alone: what noise they hold, what a camera could not have recorded."""
