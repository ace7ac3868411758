package policy

import "github.com/troupe-storage/troupe/objects/errs"

const opParse errs.Op = "policy.Parse"

// Error says why a text is no policy, in S3's words (MalformedPolicy). Immutable.
type Error struct {
	Message string
	Place   string // "Statement[1].Condition.Bool"; empty: the text as a whole
}

// Error implements error.
func (e *Error) Error() string {
	if e.Place == "" {
		return e.Message
	}
	return e.Place + ": " + e.Message
}

// Unwrap says that it is the asker's fault.
func (e *Error) Unwrap() error { return &errs.Error{Op: opParse, Kind: errs.Invalid} }
