"""What has been tried."""
