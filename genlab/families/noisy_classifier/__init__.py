"""noisy_classifier"""
