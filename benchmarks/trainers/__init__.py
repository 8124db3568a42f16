"""Whether what is exported is really read: by trainers and readers as people have them, each in an environment."""
