package intra

import (
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/messages"
)

// Fetched is what a node answered to Fetch.
type Fetched struct {
	Status      int
	ContentType string
	Body        []byte
}

// fetchBytes bounds what is fetched.
const fetchBytes = 16 << 20

// Fetch asks a node for a document at one of its Questions: a GET that changes nothing.
// Target is a path with a query, encoded. An error is a *messages.NodeAway.
func (r *Road) Fetch(node *messages.NodeView, target string) (Fetched, error) {
	x, err := r.put(node, reads, []byte("GET "+target+" HTTP/1.1\r\nHost: "+node.ID+"\r\n\r\n"), answerTime)
	if err != nil {
		return Fetched{}, err
	}
	fetched := Fetched{Status: x.head.StatusCode(), ContentType: string(x.head.Peek(fasthttp.HeaderContentType))}
	body := x.body()
	fetched.Body, err = io.ReadAll(io.LimitReader(body, fetchBytes))
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return Fetched{}, &messages.NodeAway{Node: node.ID, Reason: "its answer cannot be read: " + err.Error()}
	}
	return fetched, nil
}
