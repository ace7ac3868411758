package native

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api"
)

// maxFaultBody bounds the body of a request about faults, in bytes: what is in it is
// remembered.
const maxFaultBody = 8 << 10

// Faults is how what is broken on purpose at a node is looked at and changed. By and
// request say who asks: the access key that signed, and the id of the request. Inject
// blocks for seconds at most.
type Faults struct {
	List     func(all bool) []api.Fault
	Find     func(id uint64) (api.Fault, error)
	Inject   func(ctx context.Context, f api.InjectFault, by, request string) (api.InjectedFault, error)
	Clear    func(id uint64, by, request string) (api.Fault, error)
	ClearAll func(by, request string) []api.Fault
}

// FaultsRoute is the route at api.FaultsPath; nil: nothing can be broken at the node.
func FaultsRoute(f *Faults) Route {
	return Route{Path: api.FaultsPath, Guard: Control, Handle: func(r *Request) error {
		if f == nil {
			return Refuse(fasthttp.StatusForbidden, "", "nothing can be broken at this node: its setting %q is off; start it with --faults, TROUPE_FAULTS=true, or faults: true in its file", "faults")
		}
		return f.handle(r)
	}}
}

func (f *Faults) handle(r *Request) error {
	segments, err := r.Segments()
	switch {
	case err != nil:
		return err
	case len(segments) == 0:
		return Verbs{get: f.list, post: f.inject, remove: f.clearAll}.Handle(r)
	case len(segments) > 1:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: a fault is %s/ID", r.Path(), api.FaultsPath)
	}
	id, err := strconv.ParseUint(segments[0], 10, 64)
	if err != nil {
		return Refuse(fasthttp.StatusBadRequest, "", "%q is no id of a fault, which is a whole number", segments[0])
	}
	return Verbs{
		get: func(r *Request) error {
			fault, err := f.Find(id)
			if err != nil {
				return err
			}
			return r.JSON(fault)
		},
		remove: func(r *Request) error {
			fault, err := f.Clear(id, r.caller.AccessKey, r.id)
			if err != nil {
				return err
			}
			return r.JSON(fault)
		},
	}.Handle(r)
}

func (f *Faults) list(r *Request) error {
	all, err := r.Flag("all")
	if err != nil {
		return err
	}
	return r.JSON(api.Faults{Faults: f.List(all)})
}

func (f *Faults) inject(r *Request) error {
	body, err := r.Body(maxFaultBody)
	if err != nil {
		return err
	}
	// What is misspelled must not pass in silence: it may be what bounds the fault.
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var wanted api.InjectFault
	err = decoder.Decode(&wanted)
	if _, more := decoder.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("more than one JSON value")
	}
	if err != nil {
		return Refuse(fasthttp.StatusBadRequest, "", "the body of %s %s is not the JSON that is expected: %v", r.method, r.path, err)
	}
	injected, err := f.Inject(r.Context(), wanted, r.caller.AccessKey, r.id)
	if err != nil {
		return err
	}
	return r.JSON(injected)
}

func (f *Faults) clearAll(r *Request) error {
	return r.JSON(api.Faults{Faults: f.ClearAll(r.caller.AccessKey, r.id)})
}
