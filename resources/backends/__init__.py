"""What runs the models: a library in this process, a server, or what an installed package brings. A file for each.

`choice` tells which backend the settings of a role mean; nothing else asks what kind it is. It imports the roles.
"""
