"""Looking back: what the journal tells of logins, of what they did, and of what was denied."""
