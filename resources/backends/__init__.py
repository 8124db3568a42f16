"""What runs the models, a file for each: a library in this process, a server, or what an installed package brings.

`choice` tells which backend the settings of a role mean; nothing else asks what kind it is. It imports the roles.
"""
