"""Molecules that shine through several frames, fitted as one position each with its own photons in each frame.

state: sites and their looks;  movie, frames: the likelihood of an image around a state, of one channel or,
where their shares of the light are known, of all;  charts: when it is computed again;  climb: the fit of all
frames;  covariance: their bounds;  start: from a list of single frames to sites; ties: which looks are one
molecule;  shared_information: what the images say of each look;  looks: in which frames a molecule shines;
unseen, sums: molecules that no single frame shows;  arrangements: spots that are two molecules;  divisions: the
same in all images;  unions: molecules found in pieces;  neighbourhood, trials: where and whether such a change
pays;  selection: all changes;  fit: all of it, from a list to a list;  windows: the same for a movie of any
length;  tiles, parts: and for a field of any size;  channel: how one channel shows molecules;  channels: the
fit of single frames in several channels;  shares, known_shares: its list;  channels_over_frames: that of
several frames in several channels.
"""
