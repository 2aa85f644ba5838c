"""The studio: the program as a page in the browser, for one user on the loopback address.

It holds no science of its own: what a panel does is a call of the front door or of a job, and can be had as a
command line too, which the panel shows. A panel is a folder: modules without NiceGUI that hold its state and do
its work, and ``panel.py`` that draws it. Tabs show the state of one `Desk`, so that two tabs show the same.
"""
