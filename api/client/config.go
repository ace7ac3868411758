package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
)

// Defaults of a Config.
const (
	// DefaultRegion is what a node expects unless it is told otherwise.
	DefaultRegion = "us-east-1"
	// DefaultConnections is how many idle connections are kept to a server.
	DefaultConnections = 64
	// DefaultPatience is how long a request is repeated against a server that has
	// answered before: longer than a node takes to start again.
	DefaultPatience = 2 * time.Minute
	// DefaultStall is how long a server may neither send nor take a byte. The node
	// itself cuts a client that takes less than 4 MiB in 60 s.
	DefaultStall = time.Minute
	// DefaultAnswer is how long an answer may take to begin after the request was
	// sent whole: longer than the 5 min that a node waits for the end of a large upload.
	DefaultAnswer = 6 * time.Minute
)

// Config says where a server is and how to ask it.
type Config struct {
	// Endpoint is the server's URL, scheme://host[:port][/prefix]. S3 under a
	// prefix (/s3 of a node's native listener) is asked for under it.
	Endpoint string
	// Credentials sign requests; without an access key they go unsigned.
	Credentials sigv4.Credentials
	// Region is signed for; DefaultRegion if empty.
	Region string
	// TLS configures https endpoints; nil: the system's authorities.
	TLS *tls.Config
	// UserAgent is told to the server; empty: Go's own.
	UserAgent string
	// Connections, Patience, Stall and Answer stand for their defaults if 0. A
	// negative Patience repeats nothing.
	Connections int
	Patience    time.Duration
	Stall       time.Duration
	Answer      time.Duration
	// Repeated is told of every attempt that failed and is made again after
	// pause; may be nil. It is called concurrently.
	Repeated func(err error, pause time.Duration)
}

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = DefaultRegion
	}
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	if c.Answer == 0 {
		c.Answer = DefaultAnswer
	}
	return c
}

// ParseEndpoint reads a server's URL. A host alone, with or without a port, means
// http. The error says what is wrong with it.
func ParseEndpoint(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("endpoint %q: %w", text, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %q: the scheme is http or https", text)
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("endpoint %q has no host: http://HOST:PORT", text)
	case u.User != nil:
		return nil, errors.New("an endpoint holds no keys: give them in the environment")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("endpoint %q ends with its path: http://HOST:PORT[/PREFIX]", text)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}
