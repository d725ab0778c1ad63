"""On-chip execution: circuits as a service takes them, jobs that are paid for once, and what to do when one fails."""
