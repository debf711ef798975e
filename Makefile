# The front door. Every target sets up what it needs; npm scripts only forward here.
.DEFAULT_GOAL := build
