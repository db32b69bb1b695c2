"""Training: one worker, runs on disk, and `fit`, which runs workers in this process or under Ray Train."""
