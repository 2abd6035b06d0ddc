"""What all training loops share: data, steps that resume, loss curve, card. Knows no family."""
