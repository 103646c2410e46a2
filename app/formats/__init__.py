"""Every format of the outside world, in and out. No other room knows them, and this room knows no HTTP framework."""
