package auth

import (
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// Principal is who signed a request. Immutable, and shared by all of its requests.
type Principal struct {
	// Root: the pair of keys that may do everything. Of it nothing else is set.
	Root bool
	// Name is the user's; Account that of the account, which an account is itself.
	Name, Account string
	// ID and Number are the account's: what owns buckets, and what ARNs name.
	ID, Number string
	ARN        string
	User       *objects.User
}

// pair is an access key of a user, its secret open.
type pair struct {
	principal *Principal
	secret    string    // empty: its seal is not known
	expires   time.Time // zero: never
}
