"""What TensorBoard shows besides curves: hyperparameters and a page of charts."""
