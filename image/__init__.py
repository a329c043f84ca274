"""How the image is made, signed and run in a virtual machine. Host tooling: never shipped."""
