package cluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxKeyBytes is how long a key may be.
const MaxKeyBytes = 512

// Root is what every key of every cluster begins with.
const Root = "troupe/"

// Keys says under which key each document of one cluster lies; nothing else makes
// keys. Names that people chose are escaped: everything but ASCII letters, digits,
// - _ . @ # and + becomes =XX, so that a segment is one and `consul kv get -recurse`
// is readable. (Consul refuses keys in which %XX would hide a space or dots.)
type Keys struct{ cluster string }

// NewKeys returns the keys of a cluster. Its id is what the cluster's founder made at
// random: two clusters on one provider share no key.
func NewKeys(clusterID string) (Keys, error) {
	if clusterID == "" || segment(clusterID) != clusterID {
		return Keys{}, errs.E("cluster.NewKeys", clusterID, errs.Invalid, errors.New("a cluster's id is made of letters, digits, - and _"))
	}
	return Keys{clusterID}, nil
}

func (k Keys) at(segments ...string) string {
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = segment(s)
	}
	return Root + k.cluster + "/" + strings.Join(escaped, "/")
}

// All is the prefix of everything that the cluster keeps.
func (k Keys) All() string { return Root + k.cluster + "/" }

// NameKey is where the id of the cluster of a name is found: by who knows the name only.
// Not below any cluster's keys, whose ids are 16 hexadecimal digits.
func NameKey(name string) string { return Root + "names/" + segment(name) }

// Format is the version of the layout of all that follows: FormatVersion in decimal.
func (k Keys) Format() string { return k.at("format") }

// FormatVersion is the present value of Keys.Format.
const FormatVersion = 1

// Smap is the map of the cluster; its leader writes it.
func (k Keys) Smap() string { return k.at("smap") }

// SmapVersion changes with the Smap, and is small: what nodes watch.
func (k Keys) SmapVersion() string { return k.at("smap-version") }

// Wishes is what operators want of plans and nodes, beside the map; its leader writes it.
func (k Keys) Wishes() string { return k.at("wishes") }

// Node is what a node tells of itself: addresses, mountpaths.
func (k Keys) Node(id string) string { return k.at("nodes", id) }

// Nodes is the prefix of Node.
func (k Keys) Nodes() string { return k.at("nodes") + "/" }

// Bucket is the document of a bucket. The global namespace is written @, as in
// "buckets/ais/@/photos"; another one as "@uuid#name".
func (k Keys) Bucket(b objects.Bucket) string {
	return k.at("buckets", b.Provider, "@"+b.Namespace, b.Name)
}

// Buckets is the prefix of Bucket.
func (k Keys) Buckets() string { return k.at("buckets") + "/" }

// Destroyed is what is left of a bucket that was destroyed, by its id, until every node
// has nothing of it any more.
func (k Keys) Destroyed(id objects.BucketID) string { return k.at("destroyed", id.String()) }

// AllDestroyed is the prefix of Destroyed.
func (k Keys) AllDestroyed() string { return k.at("destroyed") + "/" }

// BucketsVersion changes with any bucket, and names the last ones changed: what nodes
// watch.
func (k Keys) BucketsVersion() string { return k.at("buckets-version") }

// Config is the configuration that all nodes share.
func (k Keys) Config() string { return k.at("config", "cluster") }

// NodeConfig is that of one node.
func (k Keys) NodeConfig(id string) string { return k.at("config", "nodes", id) }

// User is the document of a user.
func (k Keys) User(name string) string { return k.at("users", name) }

// Users is the prefix of User.
func (k Keys) Users() string { return k.at("users") + "/" }

// Policy is the document of a named policy.
func (k Keys) Policy(name string) string { return k.at("policies", name) }

// Policies is the prefix of Policy.
func (k Keys) Policies() string { return k.at("policies") + "/" }

// Role is the document of a role.
func (k Keys) Role(name string) string { return k.at("roles", name) }

// Roles is the prefix of Role.
func (k Keys) Roles() string { return k.at("roles") + "/" }

// AccountsVersion changes with any user, policy and role, and names the last ones
// changed: what nodes watch.
func (k Keys) AccountsVersion() string { return k.at("accounts-version") }

// Remote is the document of a remote backend.
func (k Keys) Remote(alias string) string { return k.at("remotes", alias) }

// Remotes is the prefix of Remote.
func (k Keys) Remotes() string { return k.at("remotes") + "/" }

// Job is the document of a job.
func (k Keys) Job(id string) string { return k.at("jobs", id) }

// Jobs is the prefix of Job.
func (k Keys) Jobs() string { return k.at("jobs") + "/" }

// Leader is the lock of who leads.
func (k Keys) Leader() string { return k.at("leader") }

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@#+"

// segment escapes a name so that it is one segment of a path that nobody cleans up.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "=2E")
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// validKey reports whether every provider takes a key as it is. A web server cleans
// paths with empty or dotted segments up, and answers for another key.
func validKey(key string) bool {
	if len(key) > MaxKeyBytes {
		return false
	}
	for s := range strings.SplitSeq(key, "/") {
		if s == "" || s == "." || s == ".." {
			return false
		}
	}
	return strings.IndexFunc(key, func(r rune) bool { return r < 0x21 || r == 0x7f || r == '\uFFFD' }) < 0
}

// errorf is for causes that have a kind put in front of them.
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }
