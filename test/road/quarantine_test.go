package road

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/s3client"
)

// poison makes actors of a node panic on messages of a type about a subject.
type poison struct {
	message any
	about   string
	hits    atomic.Int64
}

// Intercept implements actors.Interceptor.
func (p *poison) Intercept(_ string, message any) actors.Interception {
	about, says := message.(messages.Subjected)
	if says && reflect.TypeOf(message) == reflect.TypeOf(p.message) && about.Subject() == p.about {
		p.hits.Add(1)
		panic("it is poison")
	}
	return actors.Interception{}
}

// refused fails unless an answer says why, and what can be done.
func refused(t *testing.T, what string, answer *s3client.Answer, err error, says ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(what, err)
	}
	if answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") != "300" {
		t.Errorf("%s: %d, Retry-After %q", what, answer.Status, answer.Header.Get("Retry-After"))
	}
	for _, part := range append(says, "is quarantined at node", "it is poison", "troupe quarantine release") {
		if !strings.Contains(string(answer.Body), part) {
			t.Errorf("%s: no %q in %s", what, part, answer.Body)
		}
	}
}

// A node that quarantined a key says why through every node: to what is relayed to it,
// and to what it is asked. Other keys of it, and other nodes, are served.
func TestReasonsOfQuarantinesCross(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	owner, other := w.members[1], w.members[0]
	name := w.foreign(other, owner)
	must2 := func(a *s3client.Answer, err error) *s3client.Answer { return must(t, a, err) }
	must2(other.s3.Put(ctx, bucketName, name, []byte("body")))
	for _, c := range []struct {
		what    string
		message any
		about   string
		says    string
		ask     func(m *member) (*s3client.Answer, error)
	}{
		{"GET", &messages.OpenObject{}, bucketName + "/" + name, "key " + bucketName + "/" + name + " (read)", func(m *member) (*s3client.Answer, error) {
			return m.s3.Get(ctx, bucketName, name)
		}},
		{"DELETE", &messages.DeleteObject{}, bucketName + "/" + name, "key " + bucketName + "/" + name + " (delete)", func(m *member) (*s3client.Answer, error) {
			return m.s3.Delete(ctx, bucketName, name)
		}},
		{"LIST", &messages.ListObjects{}, bucketName + "/", "bucket " + bucketName + " (list)", func(m *member) (*s3client.Answer, error) {
			return m.s3.Do(ctx, s3client.Request{Method: http.MethodGet, Bucket: bucketName, Query: "list-type=2"})
		}},
		{"copy of it", &messages.OpenObject{}, bucketName + "/" + name, "key " + bucketName + "/" + name + " (", func(m *member) (*s3client.Answer, error) {
			return m.s3.Copy(ctx, bucketName, name, w.foreign(owner, other))
		}},
	} {
		p := &poison{message: c.message, about: c.about}
		owner.System().Intercept(p)
		for {
			answer, err := c.ask(other)
			if err != nil || answer.Status != http.StatusServiceUnavailable {
				t.Fatalf("%s: %v, %+v", c.what, err, answer)
			}
			if strings.Contains(string(answer.Body), "quarantined") {
				break
			}
			if p.hits.Load() > 3 {
				t.Fatalf("%s: not quarantined after %d panics", c.what, p.hits.Load())
			}
		}
		hits := p.hits.Load()
		for _, m := range w.members {
			answer, err := c.ask(m)
			refused(t, c.what+" through "+m.id, answer, err, c.says)
		}
		if now := p.hits.Load(); now != hits {
			t.Errorf("%s: %d more panics of what is refused", c.what, now-hits)
		}
		owner.System().Intercept(nil)
		if list := other.System().Quarantine().List(); len(list) != 0 {
			t.Errorf("%s: the node that asked has quarantined %+v", c.what, list)
		}
		second := name + "'"
		for at, _ := w.owner(second); at != owner; at, _ = w.owner(second) {
			second += "'"
		}
		must2(other.s3.Put(ctx, bucketName, second, []byte("body")))
		must2(other.s3.Get(ctx, bucketName, second))
		for _, q := range owner.System().Quarantine().List() {
			if _, err := owner.System().Quarantine().Release(q.ID); err != nil {
				t.Fatal(err)
			}
		}
		must2(c.ask(other))
		if c.what == "DELETE" {
			must2(other.s3.Put(ctx, bucketName, name, []byte("body")))
		}
	}
	w.quiet()
}

// Where a node cannot store a copy, because its own handling panics, the write is not
// acknowledged, and its client hears why and that it may come to light. Until it is settled
// the key is not read, with the reason; its bucket is listed, with the key, and another key of
// both is written.
func TestACopyThatIsPoisonIsNotAcknowledged(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	if answer := p.put(p.first, "before"); !answer.OK() {
		t.Fatal(answer)
	}
	bad := &poison{message: &messages.StoreRecord{}, about: p.doc.Name + "/" + p.name}
	p.second.System().Intercept(bad)
	for range 3 {
		if answer := p.put(p.first, "after"); answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
	}
	answer := p.put(p.other, "after")
	refused(t, "a write", answer, nil, "key "+p.doc.Name+"/"+p.name+" (write)")
	hits := bad.hits.Load()
	for range 3 {
		p.put(p.first, "after")
	}
	if now := bad.hits.Load(); now != hits {
		t.Errorf("%d more panics of what is refused", now-hits)
	}
	if other, err := p.first.s3.Put(p.ctx, p.doc.Name, "another", []byte("x")); err != nil || !other.OK() {
		t.Errorf("another key: %v %+v", err, other)
	}
	for _, m := range []*member{p.first, p.second, p.other} {
		answer, err := m.s3.Get(p.ctx, p.doc.Name, p.name)
		refused(t, "a read through "+m.id, answer, err, "key "+p.doc.Name+"/"+p.name+" (write)")
		listed, err := m.s3.Do(p.ctx, s3client.Request{Method: http.MethodGet, Bucket: p.doc.Name, Query: "list-type=2"})
		if err != nil || !listed.OK() || !strings.Contains(string(listed.Body), "<Key>"+p.name+"</Key>") || !strings.Contains(string(listed.Body), "<Key>another</Key>") {
			t.Errorf("listed through %s: %v, %d %s", m.id, err, listed.Status, listed.Body)
		}
	}
	p.second.System().Intercept(nil)
	for _, q := range p.second.System().Quarantine().List() {
		if _, err := p.second.System().Quarantine().Release(q.ID); err != nil {
			t.Fatal(err)
		}
	}
	if answer := p.put(p.other, "released"); !answer.OK() {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	p.want(p.second, "released", http.StatusOK)
}
