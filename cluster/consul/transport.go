package consul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// tokenHeader is where Consul looks for the token.
const tokenHeader = "X-Consul-Token"

// carrier sends the requests of one provider: with the token of the moment, and
// leaving in the call's answer what came of it.
type carrier struct {
	config Config
	next   http.RoundTripper
}

// answer is what came of the last request of a call.
type answer struct {
	unsent bool   // the request has certainly not reached Consul
	status int    // of HTTP; 0: none came
	text   string // what Consul said of a failure; at most maxSaid bytes
}

const maxSaid = 512

// answerKey finds the answer in the context of a call.
type answerKey struct{}

// errToken is that there is no token to send.
var errToken = errors.New("the token file cannot be read")

// RoundTrip implements http.RoundTripper.
func (c *carrier) RoundTrip(request *http.Request) (*http.Response, error) {
	result, _ := request.Context().Value(answerKey{}).(*answer)
	if result == nil {
		result = new(answer)
	}
	*result = answer{unsent: true}
	token := string(c.config.Token)
	if c.config.TokenFile != "" {
		content, err := os.ReadFile(c.config.TokenFile)
		if err != nil {
			if request.Body != nil { // a round tripper closes it whatever happens
				err = errors.Join(err, request.Body.Close())
			}
			return nil, fmt.Errorf("%w: %w", errToken, err)
		}
		token = strings.TrimSpace(string(content))
	}
	request = request.Clone(request.Context())
	request.Header.Del(tokenHeader)
	if token != "" {
		request.Header.Set(tokenHeader, token)
	}
	response, err := c.next.RoundTrip(request)
	if err != nil {
		var failed *net.OpError
		// What fails in dialling or in the handshake has sent nothing.
		result.unsent = errors.As(err, &failed) && failed.Op == "dial"
		return nil, err
	}
	result.unsent, result.status = false, response.StatusCode
	if response.StatusCode >= 400 && response.StatusCode != http.StatusConflict {
		said, _ := io.ReadAll(io.LimitReader(response.Body, maxSaid))
		result.text = strings.TrimSpace(string(said))
		response.Body = &rest{io.MultiReader(strings.NewReader(string(said)), response.Body), response.Body}
	}
	return response, nil
}

// rest is a body of which something was read already.
type rest struct {
	io.Reader
	io.Closer
}

// call prepares the context of a call that may wait: it ends with the caller's, with
// the provider, and after the time of the call beyond the wait. Done is to be called
// with what the client returned, and makes an error of ours of it.
func (p *Provider) call(ctx context.Context, op errs.Op, thing string, wait time.Duration) (called context.Context, result *answer, done func(change bool, err error) error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, p.config.CallTime+wait+wait/8) // Consul adds up to a sixteenth
	stop := context.AfterFunc(p.closed, cancel)
	if p.closed.Err() != nil {
		cancel() // and not some time soon
	}
	result = &answer{unsent: true}
	ctx = context.WithValue(ctx, answerKey{}, result)
	return ctx, result, func(change bool, err error) error {
		stop()
		cancel()
		if err == nil {
			return nil
		}
		kind := result.kind(err)
		switch {
		case outer.Err() != nil:
			kind = errs.Canceled
		case p.closed.Err() != nil:
			kind = errs.Offline
			err = errors.Join(errors.New("the provider is closed"), err)
		}
		if change && !result.unsent && !result.refused() {
			err = errors.Join(objects.ErrOutcomeUnknown, err)
		}
		if outer.Err() != nil { // the transport may hide it
			err = errors.Join(err, outer.Err())
		}
		return errs.E(op, thing, kind, err)
	}
}

// refused reports whether Consul has said that it did not do what was asked for: all
// that the client did wrong. A failure of the server may come after the deed.
func (a *answer) refused() bool {
	return a.status >= 400 && a.status < 500 && a.status != http.StatusRequestTimeout && a.status != http.StatusTooManyRequests
}

// kind says of what kind a failure is.
func (a *answer) kind(err error) errs.Kind {
	switch {
	case errors.Is(err, errToken):
		return errs.Denied
	case a.status == 0:
		return errs.Offline
	case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized || strings.Contains(a.text, "Permission denied") || strings.Contains(a.text, "ACL not found"):
		return errs.Denied
	case a.status == http.StatusNotFound:
		return errs.NotFound
	case a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout || a.status >= 500:
		return errs.Busy
	case a.status >= 400:
		return errs.Invalid
	}
	return errs.Offline // an answer that was cut, or cannot be read
}

// options makes the client's of a query.
func options(ctx context.Context, q cluster.Query) *api.QueryOptions {
	o := &api.QueryOptions{
		RequireConsistent: q.Consistency == cluster.Consistent,
		AllowStale:        q.Consistency == cluster.Stale,
	}
	if q.After > 0 {
		o.WaitIndex, o.WaitTime = q.After, max(q.Wait, time.Millisecond)
	}
	return o.WithContext(ctx)
}

// wait is how long a query may wait for something to happen.
func wait(q cluster.Query) time.Duration {
	if q.After == 0 {
		return 0
	}
	return q.Wait
}

// errFiltered is an answer that the token does not allow to be whole: to be told from
// one in which there is nothing.
var errFiltered = errors.New("the token does not allow to see all of it")

// whole refuses an answer of which something was left out. Consul says that it left
// something out, but not to who shows no token: for those, nothing is no answer where
// nobody may do anything by default.
func (p *Provider) whole(meta *api.QueryMeta, count int) error {
	anonymous := p.config.Token == "" && p.config.TokenFile == ""
	if meta.ResultsFilteredByACLs || anonymous && count == 0 && meta.DefaultACLPolicy == "deny" {
		return errs.E("", errs.Denied, errFiltered)
	}
	return nil
}
