"""Search spaces: one TOML file each, read by `tablert_dist.tune.space`."""
