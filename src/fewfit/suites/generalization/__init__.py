"""What does a model make of facts that it was told: in its prompt, or by training (arXiv 2505.00661)?"""
