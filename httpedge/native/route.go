package native

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// Guard says who may call a route.
type Guard uint8

const (
	// Open is for everybody: whether the node is alive is no secret.
	Open Guard = iota
	// Data is for who may use the native API: holders of the token (Config.Access), for
	// reading also who signs with the root pair; where none is needed everybody, but for web pages of others (Config.Pages).
	Data
	// Control is for who signs with the root pair (signature v4, in the header),
	// whatever the listener's address.
	Control
)

// Route is what answers one path of the native listener and everything below it.
// Other parts of the project add theirs through Config.Routes.
type Route struct {
	Path  string // begins with "/", does not end with it: "/v1/actors"
	Guard Guard
	// Handle answers a request; an error becomes the answer (errors.go). It runs on
	// the connection's goroutine and may block for as long as its answer takes.
	Handle func(*Request) error
	// Expect judges the head of a request that waits for 100 Continue, before its
	// body was sent: an error is answered and the connection closed. It must not
	// block. Nil: go on.
	Expect func(*Request) error
}

// routes are the routes of a listener, longest path first.
type routes []Route

// newRoutes orders routes. Two of the same path, and a path that cannot match,
// are faults of the program.
func newRoutes(list ...Route) routes {
	r := routes(list)
	for _, route := range r {
		if !strings.HasPrefix(route.Path, "/") || strings.HasSuffix(route.Path, "/") || route.Handle == nil {
			panic(fmt.Sprintf("native: route %q", route.Path))
		}
	}
	slices.SortFunc(r, func(a, b Route) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), strings.Compare(a.Path, b.Path))
	})
	for i := 1; i < len(r); i++ {
		if r[i].Path == r[i-1].Path {
			panic(fmt.Sprintf("native: two routes for %q", r[i].Path))
		}
	}
	return r
}

// find returns the route of a path as sent, and what is below it without the
// slash between; nil if there is none.
func (r routes) find(path string) (route *Route, rest string) {
	for i := range r {
		below, ok := strings.CutPrefix(path, r[i].Path)
		if ok && below == "" {
			return &r[i], ""
		}
		if ok && below[0] == '/' {
			return &r[i], below[1:]
		}
	}
	return nil, ""
}

// Methods by their usual names, to keep tables narrow.
const (
	get    = fasthttp.MethodGet
	head   = fasthttp.MethodHead
	put    = fasthttp.MethodPut
	post   = fasthttp.MethodPost
	patch  = fasthttp.MethodPatch
	remove = fasthttp.MethodDelete
)

// Verbs is a table from method to what answers it on one path.
type Verbs map[string]func(*Request) error

// Handle answers with the method's entry, or 405 and the list of methods.
func (v Verbs) Handle(r *Request) error {
	if handle := v[r.Method()]; handle != nil {
		return handle(r)
	}
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	return &wrongMethod{allow: strings.Join(names, ", ")}
}
