"""What `cachedsl convert` says of settings of other engines; `cachedsl/convert` looks for it."""
