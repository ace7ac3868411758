package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/s3client"
)

// requestWithin ends a request that nobody answers; what it wrote is unknown then.
const requestWithin = 30 * time.Second

// Client asks nodes over S3, one request at a time, and writes its history. Values are of
// many sizes: a line that tells who wrote it, and filling that must be whole.
type Client struct {
	History *History
	Number  int
	Bucket  string
	Keys    []string
	// Nodes is how many there are to ask, Node the way to each.
	Nodes  int
	Node   func(at int) *s3client.Client
	Random *rand.Rand
	// Large is of how many bytes the largest value is.
	Large int
	// Within is how long a client waits for an answer; 0: requestWithin.
	Within time.Duration

	turn int
}

func (c *Client) patience() time.Duration {
	if c.Within > 0 {
		return c.Within
	}
	return requestWithin
}

// Step makes one random request to one of the nodes. An error is something that a client
// must never be told, whatever broke.
func (c *Client) Step(ctx context.Context) error {
	at := c.Random.IntN(c.Nodes)
	key := c.Keys[c.Random.IntN(len(c.Keys))]
	switch n := c.Random.IntN(20); {
	case n < 10:
		return c.Get(ctx, at, key)
	case n < 16:
		return c.write(ctx, at, key, Op{Do: Put})
	case n < 18:
		return c.write(ctx, at, key, Op{Do: Create})
	default:
		return c.write(ctx, at, key, Op{Do: Delete})
	}
}

// value makes a new one, and its body.
func (c *Client) value() (value string, body []byte) {
	c.turn++
	value = fmt.Sprintf("%d.%d", c.Number, c.turn)
	size := c.Random.IntN(64)
	if c.Random.IntN(3) == 0 {
		size = c.Random.IntN(c.Large + 1)
	}
	return value, []byte(value + "\n" + filling(value, size))
}

// filling is what follows a value in its body: so many bytes, the same for the same value.
func filling(value string, size int) string {
	return strings.Repeat(value+"/", size/(len(value)+1))
}

// read returns the value of a body, or an error where it is no whole body of anybody's.
func read(body []byte) (string, error) {
	value, rest, ok := strings.Cut(string(body), "\n")
	if !ok || rest != filling(value, len(rest)) {
		return "", fmt.Errorf("a body of %d bytes is not one that was written: %.80q", len(body), body)
	}
	return value, nil
}

// Get reads a key at a node.
func (c *Client) Get(ctx context.Context, at int, key string) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	call := c.History.Begin(c.Number, at, key, Op{Do: Get})
	answer, err := c.Node(at).Get(ctx, c.Bucket, key)
	switch {
	case err != nil:
		call.End(Answer{Outcome: Refused}, err.Error())
	case answer.Status == http.StatusOK:
		value, err := read(answer.Body)
		if err != nil {
			return fmt.Errorf("%s at node %d: %w", key, at, err)
		}
		call.End(Answer{Outcome: Done, Value: value}, "")
	case answer.Status == http.StatusNotFound && answer.Code == "NoSuchKey":
		call.End(Answer{Outcome: Done}, "")
	default:
		return call.retryable(answer)
	}
	return nil
}

// write puts, creates or deletes a key at a node.
func (c *Client) write(ctx context.Context, at int, key string, op Op) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	request := s3client.Request{Method: "DELETE", Bucket: c.Bucket, Key: key}
	if op.Do != Delete {
		request.Method = "PUT"
		op.Value, request.Body = c.value()
	}
	if op.Do == Create {
		request.Header = []objects.Pair{{Name: "If-None-Match", Value: "*"}}
	}
	call := c.History.Begin(c.Number, at, key, op)
	answer, err := c.Node(at).Do(ctx, request)
	switch {
	case unsent(err):
		call.End(Answer{Outcome: Refused}, err.Error())
	case err != nil:
		call.End(Answer{Outcome: Unknown}, err.Error())
	case answer.OK():
		call.End(Answer{Outcome: Done}, "")
	case op.Do == Create && answer.Status == http.StatusPreconditionFailed:
		call.End(Answer{Outcome: Failed}, "")
	default:
		return call.retryable(answer)
	}
	return nil
}

// retryable says what an answer that is no success leaves of a write, and is nil for one
// after which clients try again by themselves: 503, which means that nothing happened
// unless it says that the outcome is unknown, or the conflict of two creates.
func (call *Call) retryable(answer *s3client.Answer) error {
	outcome := Refused
	if body := string(answer.Body); strings.Contains(body, "outcome is unknown") || strings.Contains(body, "may or may not") {
		outcome = Unknown
	}
	call.End(Answer{Outcome: outcome}, answer.Err().Error())
	if answer.Status == http.StatusServiceUnavailable || answer.Status == http.StatusConflict && answer.Code == "ConditionalRequestConflict" {
		return nil
	}
	return fmt.Errorf("%s of %s at node %d: %w", call.op.Do, call.key, call.at, answer.Err())
}

// unsent says whether a request was never sent, because there was no connection.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// ReadAll reads every key at every node, until each has answered. Nobody else may change
// them meanwhile.
func (c *Client) ReadAll(ctx context.Context) error {
	for at := range c.Nodes {
		for _, key := range c.Keys {
			before := c.History.Count(Done)
			for c.History.Count(Done) == before {
				if err := c.Get(ctx, at, key); err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return fmt.Errorf("%s cannot be read at node %d: %w", key, at, err)
				}
			}
		}
	}
	return nil
}
