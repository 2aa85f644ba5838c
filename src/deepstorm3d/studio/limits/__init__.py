"""The panel "Limits and design": what masks allow, side by side, and a mask while it is designed."""
