"""`report.html` of a run, and what other pages of the project need to look alike."""
