"""The mathematics: one energy, four parts. Imports torch and the standard library only.

    E(x, z) = 1/2 ‖x − decode(z)‖²  +  sparsity(z)  [ + prediction ]  [ + classifier(z, label) ]

Every part is a `torch.nn.Module` made from tensors (a fresh model and a loaded one are made the same way), with
`rates()`: each parameter with its learning rate relative to the base, and `project()`: back into its constraints.
"""
