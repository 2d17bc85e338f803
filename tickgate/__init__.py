"""The command: settings, composition of roles, `tickgate dev`."""
