package policy

// PrincipalType is what somebody is, in the words of aws:PrincipalType.
type PrincipalType string

// The types of principals.
const (
	AccountPrincipal PrincipalType = "Account"
	UserPrincipal    PrincipalType = "User"
	RolePrincipal    PrincipalType = "AssumedRole"
)

const anonymousPrincipal = "Anonymous"

// Who is somebody who asks. Immutable while a question is being decided.
type Who struct {
	Type    PrincipalType
	Account string // number of the account: 12 digits
	ID      string // canonical id of the account
	ARN     string // of the account (…:root), the user, or the session of a role
	Role    string // ARN of the role whose session it is; else empty
	UserID  string // aws:userid
	User    string // aws:username; empty for whoever is no user of an account
}

// Values are what a request says of itself. A request implements it; it is asked
// only for keys that a statement names, and never for those that Who answers.
type Values interface {
	// Count returns how many values a key has; 0: the request has no such key.
	Count(key *Key) int
	// Value returns one of them, 0 ≤ i < Count.
	Value(key *Key, i int) string
}

// Question is whether somebody may do something. It lives as long as the request
// whose strings it has, and nothing of it is kept.
type Question struct {
	Action     Action
	Bucket     string // empty: the action is about no bucket
	Key        string // empty: about the bucket itself
	Principal  *Who   // nil: anonymous
	Conditions Values // nil: none
}

// count returns how many values a key has.
func (q *Question) count(key *Key) int {
	present := func(s string) int {
		if s == "" {
			return 0
		}
		return 1
	}
	switch key.ID {
	case OtherKey:
		return 0
	case KeyPrincipalType, KeyUserID:
		return 1
	case KeyPrincipalAccount:
		if q.Principal == nil {
			return 0
		}
		return present(q.Principal.Account)
	case KeyPrincipalArn:
		if q.Principal == nil {
			return 0
		}
		return present(q.Principal.ARN)
	case KeyUsername:
		if q.Principal == nil {
			return 0
		}
		return present(q.Principal.User)
	default:
		if q.Conditions == nil {
			return 0
		}
		return q.Conditions.Count(key)
	}
}

// value returns one value of a key.
func (q *Question) value(key *Key, i int) string {
	switch key.ID {
	case KeyPrincipalType:
		if q.Principal == nil {
			return anonymousPrincipal
		}
		return string(q.Principal.Type)
	case KeyUserID:
		if q.Principal == nil {
			return "anonymous"
		}
		return q.Principal.UserID
	case KeyPrincipalAccount:
		return q.Principal.Account
	case KeyPrincipalArn:
		if q.Principal.Role != "" {
			return q.Principal.Role
		}
		return q.Principal.ARN
	case KeyUsername:
		return q.Principal.User
	default:
		return q.Conditions.Value(key, i)
	}
}
