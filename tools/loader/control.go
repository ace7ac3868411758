package loader

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"
)

// controlTimeout bounds one request that is not measured.
const controlTimeout = 30 * time.Second

// dialAddress returns host and port of a URL; the port of its scheme if it names none.
func dialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// question is one unsigned request to a listener that is not measured.
type question struct {
	method string
	url    string      // http or https
	tls    *tls.Config // of https; nil: the system's authorities
	body   []byte      // JSON; nil: none
	limit  int         // of the answer's body, in bytes: more is an error
}

// ask sends the request on a connection of its own, and returns status and body.
func (q question) ask(ctx context.Context) (int, []byte, error) {
	u, err := url.Parse(q.url)
	if err != nil {
		return 0, nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return 0, nil, fmt.Errorf("%q is not http://host:port/… or https://host:port/…", q.url)
	}
	c := connection{address: dialAddress(u), stall: controlTimeout, reader: newReader(nil)}
	if u.Scheme == "https" {
		c.tls = securityFor(q.tls, u.Hostname())
	}
	if c.tcp, err = c.dial(ctx, &net.Dialer{Timeout: dialTimeout}); err != nil {
		return 0, nil, err
	}
	c.reader.reset(&c)
	defer c.drop()
	head := []byte(q.method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: close\r\n")
	if q.body != nil {
		head = append(head, "Content-Type: application/json\r\nContent-Length: "...)
		head = strconv.AppendInt(head, int64(len(q.body)), 10)
		head = append(head, "\r\n"...)
	}
	head = append(append(head, "\r\n"...), q.body...)
	if err := c.send([][]byte{head}, time.Now()); err != nil {
		return 0, nil, err
	}
	answer, err := c.reader.head()
	if err != nil {
		return 0, nil, err
	}
	document := collector{limit: q.limit}
	if answer.hasBody(Put) {
		if _, err := c.reader.body(answer, &document); err != nil {
			return answer.status, nil, err
		}
	}
	return answer.status, document.kept, nil
}
