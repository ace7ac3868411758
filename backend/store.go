package backend

import (
	"context"
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Store is one bucket that lives elsewhere. Safe for concurrent use; every method blocks,
// until its context ends at most.
//
// Failures are of these kinds of errs: NotFound (no such object, or bucket), Denied (the
// credentials do not suffice), Busy (told to slow down), Offline (not reached, or it broke
// off: the outcome of a write is unknown), Invalid (it can never succeed as it is, also
// because Limits says so), Corrupt (bytes are not what their checksum says), Conflict (a
// condition does not hold), Canceled (the context ended).
type Store interface {
	// Head returns what is known of an object.
	Head(ctx context.Context, name string) (Object, error)
	// Open returns an object and the bytes of it that were asked for. The body is the
	// caller's to close, and ends with the context of Open. It gives so many bytes as were
	// asked for, all of one version, or fails: one that was cut does not end with io.EOF.
	Open(ctx context.Context, name string, r Read) (Object, io.ReadCloser, error)
	// List returns a page of names in the order of their bytes.
	List(ctx context.Context, r ListRequest) (Page, error)
	// Put stores size bytes of a body, which may be read more than once.
	Put(ctx context.Context, name string, p Put, body io.ReaderAt, size int64) (Object, error)
	// Delete removes an object. One that is not there is no failure.
	Delete(ctx context.Context, name string) error
	// Info returns what is known of the bucket.
	Info(ctx context.Context) (BucketInfo, error)
	// Limits says what the store can do. It does not block.
	Limits() Limits
}

// Remote is an account or a cluster: what buckets are in. Safe for concurrent use.
type Remote interface {
	// Open returns a bucket, without asking whether it is there.
	Open(ref BucketRef) (Store, error)
	// Buckets lists those that the credentials show.
	Buckets(ctx context.Context) ([]BucketInfo, error)
}

// Read says which bytes of an object are wanted.
type Read struct {
	// Offset is where they begin; at the end of the object or behind it: Invalid, but for
	// all of an empty one.
	Offset int64
	// Length is how many they are at most; negative: up to the end.
	Length int64
	// Version is Object.Version as it was seen; another one there: Conflict. Empty: any.
	Version string
}

// All is a whole object of any version.
func All() Read { return Read{Length: -1} }

// Put is what is stored with a payload.
type Put struct {
	Headers objects.Headers
	User    []objects.Pair
	Sums    []checksum.Value // of the whole payload; the store compares those that it knows
	// If is what has to be there; nil: anything, or nothing.
	If *Condition
}

// Condition is what a write replaces.
type Condition struct {
	// Version is Object.Version of what is replaced; empty: nothing is to be there.
	Version string
}

// ListRequest asks for a page of a bucket.
type ListRequest struct {
	Prefix string
	// After is a name, or a prefix of a Page with the same Delimiter: what is listed comes
	// after it, and after all that it stands for. Empty: from the beginning.
	After string
	// Delimiter, if any, has names that have it behind the prefix be one entry of Prefixes.
	Delimiter string
	// Limit is how many objects and prefixes are wanted at most; 0: Limits().Page.
	Limit int
}

// Page is a part of a listing.
type Page struct {
	Objects  []Object // in the order of their names' bytes
	Prefixes []string // each with its delimiter, in order
	// Last is what the next request is to have as After, if there is More.
	Last string
	More bool
}

// Limits says what a store can do.
type Limits struct {
	Writes     bool  // Put and Delete
	Lists      bool  // List
	Conditions bool  // Put.If
	Page       int   // entries of a Page at most
	MaxBytes   int64 // of an object that is put; 0: any
	// Sums are the algorithms that are told of objects that were put with them.
	Sums []checksum.Algorithm
}

// BucketRef names a bucket of a Remote.
type BucketRef struct {
	Name      string
	Namespace string // of an AIStore's buckets
	Region    string // empty: the remote's
	Endpoint  string // empty: the remote's
	Page      int    // entries of a page; 0: the most there may be
	PartBytes int64  // of uploads in parts; 0: the default
}

// BucketInfo is what is known of a bucket.
type BucketInfo struct {
	Name      string
	Region    string
	Versioned bool // versions of objects are kept
}
