"""Who calls: a person, the roles that the person has, and how that was shown."""
