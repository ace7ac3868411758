package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
)

// Where a node listens unless it is told otherwise, and the pair of keys that it
// then has; it never leaves loopback with that pair, and neither does the client.
const (
	defaultEndpoint   = "http://127.0.0.1:9000"
	defaultNativePort = "8080"
	defaultAccessKey  = "troupe"
	defaultSecretKey  = "troupe-secret"
)

// options are the flags that every client command has.
type options struct {
	endpoint  string
	native    string
	profile   string
	region    string
	accessKey string
	secretKey string
	caFile    string
	insecure  bool
	patience  time.Duration
	json      bool
	quiet     bool
}

// add declares the flags.
func (o *options) add(f *pflag.FlagSet) {
	f.StringVar(&o.endpoint, "endpoint", "", "S3 endpoint, http://HOST:PORT (TROUPE_ENDPOINT, AWS_ENDPOINT_URL; default "+defaultEndpoint+")")
	f.StringVar(&o.native, "native", "", "native endpoint (TROUPE_NATIVE_ENDPOINT; default: the endpoint's host, port "+defaultNativePort+")")
	f.StringVar(&o.profile, "profile", "", "profile of ~/.aws/credentials and ~/.aws/config (AWS_PROFILE)")
	f.StringVar(&o.region, "region", "", "region to sign for (AWS_REGION; default "+client.DefaultRegion+")")
	f.StringVar(&o.accessKey, "access-key", "", "access key (TROUPE_ACCESS_KEY, TROUPE_ROOT_ACCESS_KEY, AWS_ACCESS_KEY_ID)")
	f.StringVar(&o.secretKey, "secret-key", "", "secret key; better given as TROUPE_SECRET_KEY, TROUPE_ROOT_SECRET_KEY or AWS_SECRET_ACCESS_KEY, which no process list shows")
	f.StringVar(&o.caFile, "ca-file", "", "PEM file of authorities that https endpoints are checked with (AWS_CA_BUNDLE)")
	f.BoolVar(&o.insecure, "insecure", false, "do not check the certificates of https endpoints")
	f.DurationVar(&o.patience, "patience", client.DefaultPatience, "how long to repeat a request that a server refuses or drops; 0: not at all")
	f.BoolVar(&o.json, "json", false, "write JSON: one document, or one per line for what may be long")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress, no list of what is done: errors only")
}

// keys are credentials and where they came from.
type keys struct {
	sigv4.Credentials
	source string // "the environment (TROUPE_ACCESS_KEY)"
}

// describe names the keys, never the secret one.
func (k keys) describe() string {
	if k.AccessKey == "" {
		return "no key"
	}
	return fmt.Sprintf("the key %s from %s", k.AccessKey, k.source)
}

// Session is what a command works with. It belongs to the command; its
// connections may be used by any number of goroutines.
type Session struct {
	// Out writes what the command answers.
	Out *Output
	// Program says what surrounds the process.
	Program Program

	options  options
	endpoint *url.URL
	native   *url.URL
	region   string
	keys     keys
	tls      *tls.Config
	opened   []*client.Connection
	control  bool // the native API was asked for
}

// newSession puts flags, environment and files together. It asks no server.
func newSession(p Program, o options) (*Session, error) {
	s := &Session{Program: p, options: o, Out: newOutput(p, o.json, o.quiet)}
	name, named := first(o.profile, p.Getenv("AWS_PROFILE")), true
	if name == "" {
		name, named = "default", false
	}
	stored, found, err := readProfile(p, name)
	if err != nil {
		return nil, Usage("profile %s: %w", name, err)
	}
	if named && !found {
		return nil, Advise(Usage("there is no profile %q in ~/.aws/credentials or ~/.aws/config", name),
			"`aws configure --profile %s` makes one; or set TROUPE_ACCESS_KEY and TROUPE_SECRET_KEY", name)
	}
	endpoint := first(o.endpoint, p.Getenv("TROUPE_ENDPOINT"), p.Getenv("AWS_ENDPOINT_URL_S3"), p.Getenv("AWS_ENDPOINT_URL"), stored.endpoint, defaultEndpoint)
	if s.endpoint, err = client.ParseEndpoint(endpoint); err != nil {
		return nil, &usageError{err}
	}
	if s.native, err = nativeOf(first(o.native, p.Getenv("TROUPE_NATIVE_ENDPOINT")), s.endpoint); err != nil {
		return nil, &usageError{err}
	}
	s.region = first(o.region, p.Getenv("AWS_REGION"), p.Getenv("AWS_DEFAULT_REGION"), stored.region, client.DefaultRegion)
	if s.keys, err = findKeys(p, o, stored, loopback(s.endpoint)); err != nil {
		return nil, err
	}
	if s.tls, err = tlsOf(first(o.caFile, p.Getenv("AWS_CA_BUNDLE"), stored.caFile), o.insecure); err != nil {
		return nil, err
	}
	return s, nil
}

// nativeOf returns the native endpoint that belongs to an S3 endpoint.
func nativeOf(given string, s3 *url.URL) (*url.URL, error) {
	if given != "" {
		return client.ParseEndpoint(given)
	}
	native := *s3
	if prefix, under := strings.CutSuffix(s3.Path, "/s3"); under { // S3 of the native listener itself
		native.Path = prefix
		return &native, nil
	}
	native.Path = ""
	native.Host = net.JoinHostPort(s3.Hostname(), defaultNativePort)
	return &native, nil
}

// findKeys looks for keys in the order that docs/cli.md gives.
func findKeys(p Program, o options, stored profile, local bool) (keys, error) {
	type pair struct{ access, secret, token, source string }
	environment := func(access, secret, token string) pair {
		found := pair{p.Getenv(access), p.Getenv(secret), "", "the environment (" + access + ")"}
		if token != "" {
			found.token = p.Getenv(token)
		}
		return found
	}
	fromProfile := pair{stored.keys.AccessKey, stored.keys.SecretKey, stored.keys.SessionToken, "the profile " + stored.name}
	candidates := []pair{{o.accessKey, o.secretKey, "", "the flag --access-key"}}
	if o.profile != "" {
		if stored.keys.AccessKey == "" && stored.elsewhere != "" {
			return keys{}, Advise(Usage("the profile %s takes its keys from %s, which is not done here", stored.name, stored.elsewhere),
				"`eval $(aws configure export-credentials --profile %s --format env)` puts them into the environment", stored.name)
		}
		candidates = append(candidates, fromProfile)
	}
	candidates = append(candidates,
		environment("TROUPE_ACCESS_KEY", "TROUPE_SECRET_KEY", "TROUPE_SESSION_TOKEN"),
		environment("TROUPE_ROOT_ACCESS_KEY", "TROUPE_ROOT_SECRET_KEY", ""),
		environment("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
		fromProfile)
	for _, c := range candidates {
		switch {
		case c.access == "" && c.secret == "":
			continue
		case c.access == "" || c.secret == "":
			return keys{}, Usage("%s: an access key and a secret key belong together, and one of them is missing", c.source)
		}
		return keys{sigv4.Credentials{AccessKey: c.access, SecretKey: c.secret, SessionToken: c.token}, c.source}, nil
	}
	if local {
		return keys{sigv4.Credentials{AccessKey: defaultAccessKey, SecretKey: defaultSecretKey}, "the defaults of a node on loopback"}, nil
	}
	return keys{}, Advise(Usage("there are no keys to sign requests with"),
		"set TROUPE_ACCESS_KEY and TROUPE_SECRET_KEY, or name a --profile of ~/.aws/credentials")
}

// loopback reports whether an endpoint is this machine.
func loopback(u *url.URL) bool {
	address := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || address != nil && address.IsLoopback()
}

// tlsOf returns the settings of https; nil: the system's.
func tlsOf(caFile string, insecure bool) (*tls.Config, error) {
	if caFile == "" && !insecure {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure} //nolint:gosec // asked for in words
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, Usage("--ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Usage("--ca-file: %s has no certificate in PEM", caFile)
		}
	}
	return config, nil
}

// connect makes a connection to an endpoint; it ends with the session.
func (s *Session) connect(endpoint *url.URL) (*client.Connection, error) {
	patience := s.options.patience
	if patience == 0 {
		patience = -1
	}
	c, err := client.New(client.Config{
		Endpoint: endpoint.String(), Credentials: s.keys.Credentials, Region: s.region, TLS: s.tls,
		UserAgent: "troupe/" + s.Program.Version, Patience: patience, Repeated: s.Out.repeated,
	})
	if err != nil {
		return nil, &usageError{err}
	}
	s.opened = append(s.opened, c)
	return c, nil
}

// Control returns a client of the native API. Not to be called concurrently.
func (s *Session) Control() (client.Control, error) {
	s.control = true
	c, err := s.connect(s.native)
	return client.Control{Connection: c}, err
}

// Quiet says whether only errors are to be shown.
func (s *Session) Quiet() bool { return s.options.quiet }

// close lets the connections go.
func (s *Session) close() {
	for _, c := range s.opened {
		c.Close()
	}
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
