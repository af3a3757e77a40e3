"""codewrap: wrap any command, watch and drive its terminal from anywhere over Pusher Channels."""

__version__ = "0.1.0"
