package loader

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Codes of failures that no server names. In parentheses, which no S3 code has.
const (
	codeConnect  = "(connect)"         // no connection
	codeLost     = "(connection lost)" // it broke during an operation
	codeStalled  = "(stalled)"         // no progress for Load.Stall
	codeProtocol = "(protocol)"        // not HTTP, or not S3's document
	codeLength   = "(wrong length)"    // the object has another size than was put
	codeContent  = "(content differs)" // the object has other bytes than were put
	codeListing  = "(listing)"         // keys out of order, or missing from a page
	codeRange    = "(range)"           // the answer is not the slice that was asked for
	codePresent  = "(deleted key)"     // it was deleted, and is there
)

// Failure counts the operations that failed for one reason.
type Failure struct {
	Code    string `json:"code"` // S3's, or one in parentheses of the generator's own
	Count   uint64 `json:"count"`
	Example string `json:"example"` // the first of them in words
}

// failures counts failed operations by code. Not safe for concurrent use. The
// zero value is ready.
type failures struct {
	byCode map[string]*Failure
}

// maxFailureCodes bounds the table: codes come from the server.
const maxFailureCodes = 100

// note counts one.
func (f *failures) note(code, example string, count uint64) {
	if f.byCode == nil {
		f.byCode = make(map[string]*Failure)
	}
	known := f.byCode[code]
	if known == nil {
		if len(f.byCode) >= maxFailureCodes {
			code = "(other)"
		}
		if known = f.byCode[code]; known == nil {
			known = &Failure{Code: code, Example: example}
			f.byCode[code] = known
		}
	}
	known.Count += count
}

// add takes in the failures of another worker.
func (f *failures) add(other *failures) {
	for _, failure := range other.list() {
		f.note(failure.Code, failure.Example, failure.Count)
	}
}

// list returns the failures, most frequent first.
func (f *failures) list() []Failure {
	var all []Failure
	for _, failure := range f.byCode {
		all = append(all, *failure)
	}
	slices.SortFunc(all, func(a, b Failure) int {
		if a.Count != b.Count {
			if a.Count > b.Count {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Code, b.Code)
	})
	return all
}

// transportCode returns the code of an error of the connection.
func transportCode(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, errProtocol):
		return codeProtocol
	case errors.As(err, &network) && network.Timeout():
		return codeStalled
	}
	return codeLost
}

// documentCode returns the code of an error document, or the status in
// parentheses if there is none (an answer to HEAD has no body).
func documentCode(status int, document []byte) string {
	code := element(document, "Code")
	if code == "" || len(code) > 64 || strings.ContainsAny(code, "()\r\n|") {
		return fmt.Sprintf("(status %d)", status)
	}
	return code
}
