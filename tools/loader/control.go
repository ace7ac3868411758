package loader

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"
)

// controlTimeout bounds one request that is not measured.
const controlTimeout = 30 * time.Second

// ask sends one unsigned request to a URL on a connection of its own, and returns
// status and body. A body of more than limit bytes is an error.
func ask(ctx context.Context, method, address string, body []byte, limit int) (int, []byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" {
		return 0, nil, fmt.Errorf("%q is neither http://host:port/… nor https://host:port/…", address)
	}
	c := connection{address: u.Host, secure: u.Scheme == "https", stall: controlTimeout, reader: newReader(nil)}
	if c.tcp, err = c.dial(ctx, net.Dialer{Timeout: dialTimeout}); err != nil {
		return 0, nil, err
	}
	c.reader.reset(&c)
	defer c.drop()
	head := []byte(method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: close\r\n")
	if body != nil {
		head = append(head, "Content-Type: application/json\r\nContent-Length: "...)
		head = strconv.AppendInt(head, int64(len(body)), 10)
		head = append(head, "\r\n"...)
	}
	head = append(append(head, "\r\n"...), body...)
	if err := c.send([][]byte{head}, time.Now()); err != nil {
		return 0, nil, err
	}
	answer, err := c.reader.head()
	if err != nil {
		return 0, nil, err
	}
	document := collector{limit: limit}
	if answer.hasBody(Put) {
		if _, err := c.reader.body(answer, &document); err != nil {
			return answer.status, nil, err
		}
	}
	return answer.status, document.kept, nil
}
