package supervisors

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// The root key pair that a node has when none is given. With it, no listener
// leaves loopback.
const (
	DefaultAccessKey = "troupe"
	DefaultSecretKey = "troupe-secret"
)

// Config says what a node is made of. Fields with a default may be left zero.
type Config struct {
	Data   []string // directories of mountpaths, one or more
	Native string   // host:port of the native listener; default 127.0.0.1:8080
	S3     string   // host:port of the S3 listener; default 127.0.0.1:9000
	Intra  string   // host:port for payloads between nodes; checked, and opened only in a cluster; default 127.0.0.1:8082
	Remote string   // host:port for messages between nodes; likewise; default 127.0.0.1:8083

	Profile string // host:port of Go's profiles (pprof), loopback only; empty: none

	RootAccessKey string // default DefaultAccessKey
	RootSecretKey string // default DefaultSecretKey

	// NativeAuth says who may use the native listener: NativeAuthNone, everybody who
	// reaches it; NativeAuthToken, who sends NativeToken as a bearer token. Empty: as
	// NativeAuthNone, and on loopback only. Control always needs the root pair.
	NativeAuth  string
	NativeToken string // at least MinTokenBytes bytes of visible ASCII
	// NativeHosts are names, without port, by which clients call the native listener
	// where it asks for no token, beside its addresses, localhost, Domains and the
	// machine's own name; browser.AnyName: any. Other names are refused there: a web
	// page can have its name point at any listener.
	NativeHosts []string

	// RootOverlap is for how long the pair before a change of the running node's is
	// good still; 0: not at all; at most MaxRootOverlap.
	RootOverlap time.Duration

	// SealKeyFile holds the seed of the seal under which secrets of users lie, the same for
	// all nodes of a cluster: MinSealKeyBytes or more, at random. Empty: the seed is the
	// cluster's secret, or the root secret key of a node that is alone.
	SealKeyFile string
	// SealKeyFileBefore holds another seed, of which secrets are opened, too, and sealed
	// anew: the one of before, or of a cluster in the middle of a change the one to come.
	SealKeyFileBefore string

	// Edge says how the listeners speak.
	Edge EdgeConfig

	Region  string   // that S3 clients are told; default us-east-1
	Domains []string // base domains of virtual-host style requests; default localhost

	// MemoryBytes is what the node may use: slabs, caches, memtables and heap; at
	// least MinMemoryBytes; default 1 GiB.
	MemoryBytes int64
	// LimitHeap is told how many bytes of MemoryBytes Go's heap may take: at start, and
	// whenever a mountpath comes or goes. The default limits the heap of the process, which
	// is right where the node is all that is in it; who runs several nodes in a process, or a
	// node beside much else, adds up what they say. Safe for concurrent use.
	LimitHeap      func(bytes int64)
	MinPartBytes   int64 // least size of a part that is not the last, in bytes; default 5 MiB, at least 1
	MaxConnections int   // of each listener at a time; default 4096
	// Reserve is kept free on each mountpath, beside what its index may have to write
	// at once: below it writes fail, below half of it deletes too; default 1 GiB, and
	// on a small filesystem 2% of it.
	Reserve Reserve
	// History bounds the history of objects on each mountpath, or turns it off; default
	// 256 MiB, on a small filesystem 1% of it, and 30 days.
	History History
	// ScrubDays is within how many days every payload is verified once, 1 to 3650; default
	// 30; below 0: none is.
	ScrubDays   int
	InlineBytes int // largest payload that goes into the index, in bytes; default 32 KiB; at most 64 KiB

	// Cluster says to which cluster the node belongs; the zero value: it is alone.
	Cluster ClusterConfig

	Log *logrus.Logger // default: text to standard error at Info
	// LogLevel is the level that the node was given: debug, info, warning or error; empty:
	// that which its cluster shares counts, or Log's own.
	LogLevel string

	// Quarantine says when a key, a bucket or a job is refused because its handling
	// panics again and again: 1 to 100 panics, default 3, below 0 never; within a minute
	// to 7 days, default an hour.
	Quarantine QuarantineLimits
	// Version is that of the program, for the evidence of panics.
	Version string

	// Faults, if not nil, is the desk through which parts of this node can be broken
	// on purpose, also over the native listener by who signs with the root pair. It
	// belongs to this node, which closes it when it stops. nil: off, and without any cost.
	Faults *faults.Desk

	// Trial is for `troupe prove` alone.
	Trial Trial

	// Extensions are actors and kinds of jobs of one's own.
	Extensions []Extension

	// Road leads to the other nodes of a cluster; nil: the node is alone.
	Road *Road
}

// The values of Config.NativeAuth.
const (
	NativeAuthNone  = "none"
	NativeAuthToken = "token"
)

// MinTokenBytes is the length of the shortest token that is taken: 16 characters
// chosen at random cannot be guessed over a network.
const MinTokenBytes = 16

// QuarantineLimits says when what panics is quarantined.
type QuarantineLimits = actors.QuarantineLimits

// Reserve is how much of each mountpath is kept free.
type Reserve = store.Reserve

// History bounds the history of objects that each mountpath keeps.
type History = store.HistoryLimits

// MinHistoryAge is the least age at which entries of the history may go: a look at the
// clock now and then does not keep less.
const MinHistoryAge = time.Minute

// MinMemoryBytes is the least budget that a node works with.
const MinMemoryBytes = 64 << 20

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.Native, "127.0.0.1:8080")
	set(&c.S3, "127.0.0.1:9000")
	set(&c.Intra, "127.0.0.1:8082")
	set(&c.Remote, "127.0.0.1:8083")
	if c.RootAccessKey == "" && c.RootSecretKey == "" {
		c.RootAccessKey, c.RootSecretKey = DefaultAccessKey, DefaultSecretKey
	}
	set(&c.Region, "us-east-1")
	c.Edge = c.Edge.withDefaults()
	if c.Domains == nil {
		c.Domains = []string{"localhost"}
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = 1 << 30
	}
	if c.LimitHeap == nil {
		c.LimitHeap = func(bytes int64) { debug.SetMemoryLimit(bytes) }
	}
	if c.MinPartBytes == 0 {
		c.MinPartBytes = 5 << 20
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 4096
	}
	if c.Reserve == (Reserve{}) {
		c.Reserve = store.DefaultReserve()
	}
	if c.History == (History{}) {
		c.History = store.DefaultHistoryLimits()
	}
	if c.ScrubDays == 0 {
		c.ScrubDays = 30
	}
	if c.InlineBytes == 0 {
		c.InlineBytes = 32 << 10
	}
	c.Quarantine = c.Quarantine.WithDefaults()
	if c.Log == nil {
		c.Log = logrus.New()
	}
	return c
}

// Validate reports every setting that cannot be, naming it as people set it and
// saying what it accepts. The configuration must have its defaults.
func (c Config) Validate() error {
	var faults []error
	bad := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", setting, fmt.Sprintf(format, args...)))
	}
	if len(c.Data) == 0 {
		bad("data", "no directory is given; at least one is needed (--data DIR, repeatable)")
	}
	for _, dir := range c.Data {
		if strings.TrimSpace(dir) == "" {
			bad("data", "a directory is empty")
		}
	}
	listeners := []struct{ setting, address string }{
		{"native", c.Native}, {"s3", c.S3}, {"intra", c.Intra}, {"remote", c.Remote},
	}
	if c.Profile != "" {
		listeners = append(listeners, struct{ setting, address string }{"profile", c.Profile})
	}
	for _, l := range listeners {
		host, port, err := net.SplitHostPort(l.address)
		if err != nil {
			bad(l.setting, "%q is not HOST:PORT, for example 127.0.0.1:9000 or [::1]:9000", l.address)
			continue
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			bad(l.setting, "%q has no valid port (0 to 65535)", l.address)
		}
		if c.hasDefaultKeys() && !isLoopback(host) && (l.setting == "native" || l.setting == "s3") {
			bad(l.setting, "%q leaves loopback while the root key pair is the default one; set TROUPE_ROOT_ACCESS_KEY and TROUPE_ROOT_SECRET_KEY, or listen on 127.0.0.1", l.address)
		}
	}
	for _, fault := range slices.Concat(c.nativeAuthFaults(), c.edgeFaults(), c.clusterFaults()) {
		bad(fault.setting, "%s", fault.text)
	}
	if host, _, err := net.SplitHostPort(c.Profile); err == nil && !isLoopback(host) {
		bad("profile", "%q leaves loopback; profiles show memory and are for this machine only", c.Profile)
	}
	if c.RootAccessKey == "" || c.RootSecretKey == "" {
		bad("root key pair", "the access key and the secret key must both be set (TROUPE_ROOT_ACCESS_KEY, TROUPE_ROOT_SECRET_KEY)")
	}
	if c.RootSecretKey != "" && len(c.RootSecretKey) < 8 {
		bad("TROUPE_ROOT_SECRET_KEY", "it has %d characters; at least 8", len(c.RootSecretKey))
	}
	if c.MemoryBytes < MinMemoryBytes {
		bad("memory", "%d bytes; at least %d (64 MiB)", c.MemoryBytes, MinMemoryBytes)
	}
	if c.MinPartBytes < 1 || c.MinPartBytes > 5<<30 {
		bad("min-part", "%d bytes; 1 to 5 GiB", max(0, c.MinPartBytes))
	}
	if c.MaxConnections < 1 || c.MaxConnections > 1<<20 {
		bad("max-connections", "%d; 1 to 1048576", c.MaxConnections)
	}
	if c.Quarantine.Panics > 100 {
		bad("quarantine-panics", "%d; 1 to 100, or 0 for never", c.Quarantine.Panics)
	}
	if c.Quarantine.Within < time.Minute || c.Quarantine.Within > 7*24*time.Hour {
		bad("quarantine-within", "%s; 1m to 168h", c.Quarantine.Within)
	}
	if c.Reserve.Bytes < 0 || !(c.Reserve.Percent >= 0 && c.Reserve.Percent <= 50) {
		bad("reserve", "%d bytes, %g%%; a size above 0, a share of 0 to 50%%, or both: 1GiB,2%%", max(0, c.Reserve.Bytes), c.Reserve.Percent)
	}
	if h := c.History; !h.Off && (h.Bytes < 0 || !(h.Percent >= 0 && h.Percent <= 50) || h.Bytes == 0 && h.Percent == 0 || h.Age != 0 && h.Age < MinHistoryAge) {
		bad("history", "%d bytes, %g%%, %s; a size above 0, a share of 0 to 50%%, or both, and an age of at least %s: 256MiB,1%%,30d; or off", max(0, h.Bytes), h.Percent, h.Age, MinHistoryAge)
	}
	if c.ScrubDays > 3650 {
		bad("scrub-days", "%d; 1 to 3650, or 0 for never", c.ScrubDays)
	}
	if err := checkLevel(c.LogLevel); c.LogLevel != "" && err != nil {
		bad(tunableLevel, "%v", err)
	}
	if c.InlineBytes < 1 || c.InlineBytes > 64<<10 {
		bad("inline", "%d bytes; 1 to 65536", c.InlineBytes)
	}
	return errors.Join(faults...)
}

// fault is one setting that cannot be, and why.
type fault struct{ setting, text string }

// nativeAuthFaults says what is wrong with the access to the native listener.
func (c Config) nativeAuthFaults() []fault {
	var faults []fault
	host, _, err := net.SplitHostPort(c.Native)
	switch c.NativeAuth {
	case "":
		if err == nil && !isLoopback(host) {
			faults = append(faults, fault{"native-auth", fmt.Sprintf("it is not set, and %q leaves loopback; set it to %q (with TROUPE_NATIVE_TOKEN), or to %q to let everybody in who reaches the listener", c.Native, NativeAuthToken, NativeAuthNone)})
		}
		if c.NativeToken != "" {
			faults = append(faults, fault{"native-auth", fmt.Sprintf("a token is given but not asked for; set it to %q", NativeAuthToken)})
		}
	case NativeAuthNone:
		if c.NativeToken != "" {
			faults = append(faults, fault{"native-auth", fmt.Sprintf("it is %q though a token is given; set it to %q, or give no token", NativeAuthNone, NativeAuthToken)})
		}
	case NativeAuthToken:
		visible := func(c rune) bool { return c <= ' ' || c > '~' }
		if len(c.NativeToken) < MinTokenBytes || strings.ContainsFunc(c.NativeToken, visible) {
			faults = append(faults, fault{"TROUPE_NATIVE_TOKEN", fmt.Sprintf("it has %d characters; at least %d are needed, visible ASCII without blanks", len(c.NativeToken), MinTokenBytes)})
		}
	default:
		faults = append(faults, fault{"native-auth", fmt.Sprintf("%q is neither %q nor %q", c.NativeAuth, NativeAuthToken, NativeAuthNone)})
	}
	return faults
}

func (c Config) hasDefaultKeys() bool {
	return c.RootAccessKey == DefaultAccessKey && c.RootSecretKey == DefaultSecretKey
}

// isLoopback reports whether a listener on the host can be reached from this
// machine only.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
