"""Networks for traffic forecasting that people designed: references for what a search finds."""
