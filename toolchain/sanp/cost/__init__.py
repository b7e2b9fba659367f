"""What a network costs while it trains."""
