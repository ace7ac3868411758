package native

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
)

// Listen begins to listen to what happens in the cluster. Whoever calls it calls stop.
type Listen func() (events <-chan messages.ClusterEvent, stop func())

// maxEventStreams bounds how many clients listen at a time.
const maxEventStreams = 64

// EventsRoute is the route at api.EventsPath. Listen is nil where the node is alone.
func EventsRoute(clock clock.Clock, listen Listen) Route {
	e := &events{clock: clock, listen: listen, room: make(chan struct{}, maxEventStreams)}
	return Route{Path: api.EventsPath, Guard: Data, Handle: Verbs{get: e.stream}.Handle}
}

// events hands what happens on to clients that listen.
type events struct {
	clock  clock.Clock
	listen Listen
	room   chan struct{} // has a place for each stream
}

// stream answers with events as they happen, until the client goes away or the
// listener ends.
func (e *events) stream(r *Request) error {
	if r.Rest() != "" {
		return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: events are at %s", r.Path(), api.EventsPath)
	}
	if e.listen == nil {
		return Refuse(fasthttp.StatusNotFound, typeNotFound, "the node is alone, and belongs to no cluster in which something could happen")
	}
	select {
	case e.room <- struct{}{}:
	default:
		return Refuse(fasthttp.StatusServiceUnavailable, typeBusy, "%d clients listen to events already", maxEventStreams)
	}
	list, stop := e.listen()
	r.ctx.SetContentType("text/event-stream")
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	r.ctx.SetBodyStream(&eventBody{
		list: list, ended: r.ctx.Done(), clock: e.clock, client: r.ctx.Conn(), rest: []byte(eventComment),
		stop: sync.OnceFunc(func() { stop(); <-e.room }),
	}, -1)
	return nil
}

// eventComment is sent first, so that a client knows that it is heard from then on,
// and whenever nothing has happened for api.EventsBeat.
const eventComment = ": troupe\n\n"

// eventWriteTime is how long a client may take no byte.
const eventWriteTime = 60 * time.Second

// eventBody is an answer that goes on for as long as the client listens and the
// listener is there. fasthttp reads it on the connection's goroutine, and closes it
// when a write fails.
type eventBody struct {
	list   <-chan messages.ClusterEvent
	ended  <-chan struct{} // closed when the listener ends
	clock  clock.Clock
	client net.Conn
	stop   func()
	rest   []byte // of what is to be sent
}

// Read implements io.Reader. It waits for something to happen.
func (b *eventBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		beat, timer := b.clock.NewTimer(api.EventsBeat)
		defer timer.Stop()
		select {
		case event := <-b.list:
			text, err := eventText(event)
			if err != nil {
				return 0, err
			}
			b.rest = text
		case <-beat:
			b.rest = []byte(eventComment)
		case <-b.ended:
			return 0, io.EOF
		}
	}
	if err := b.client.SetWriteDeadline(within(eventWriteTime)); err != nil {
		return 0, err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *eventBody) Close() error {
	b.stop()
	return nil
}

// eventText is one event in the form of the HTML standard, "Server-sent events".
func eventText(event messages.ClusterEvent) ([]byte, error) {
	data, err := json.Marshal(eventOf(event))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event.Kind, data), nil
}

func eventOf(e messages.ClusterEvent) api.ClusterEvent {
	return api.ClusterEvent{At: e.At, Kind: string(e.Kind), Node: string(e.Node), State: string(e.State), Version: e.Version, Reason: e.Reason}
}
