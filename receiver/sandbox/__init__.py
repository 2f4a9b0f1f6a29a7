"""A local Hiloop: the API, the human's page, and signed deliveries. No server for production."""
