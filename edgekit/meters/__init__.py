"""What power a device takes. Meters are plug-ins (entry-point group edgekit.meters); none is built in yet, so every
record says `energy: {unavailable: ...}`."""
