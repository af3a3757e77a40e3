"""Layer 3, the embedded hub: a server of the Pusher Channels protocol 7."""
