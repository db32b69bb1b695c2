"""What a run leaves behind: its folder and record, its jobs, results, status, and the command that resumes it."""
