"""Joins the parts; the one layer that knows them all."""
