"""Forecasting of traffic: windows of a time series, errors of forecasts, training of networks."""
