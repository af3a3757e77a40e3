"""Layer 2, the network: publishing, subscribing and the gateway's HTTP API."""
