"""What a camera's pixels cannot be trusted with: defects, single bright frames, and the end of their scale."""
