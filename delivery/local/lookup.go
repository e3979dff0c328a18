package local

// LookupUser asks the password database for a user; nil without error if there is
// none of that name.
func LookupUser(name string) (*User, error) { return lookupPasswd(name) }
