"""Members in forms made for serving: another engine, other numbers, the same answers within a measured tolerance."""
