"""Crops of images, and images that several questions are about.

Used by the roles, and by the stages for crops.
"""
