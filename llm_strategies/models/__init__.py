"""Models: one client, servers, transcripts."""
