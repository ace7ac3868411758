package road

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// history asks a node for what is recorded of a name.
func (p *pair) history(asked *member, name string) *gateway.History {
	p.t.Helper()
	all, err := asked.Gateway().History(p.ctx, p.doc.Name, name, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// wantHistory compares a history, in any order, with lines of node, what, why, and for
// whom: F, S and O are the first, the second and the other node.
func (p *pair) wantHistory(what string, all *gateway.History, want ...string) {
	p.t.Helper()
	names := strings.NewReplacer(p.first.id, "F", p.second.id, "S", p.other.id, "O")
	var got []string
	for _, e := range all.Entries {
		at := slices.IndexFunc(p.members, func(m *member) bool {
			for _, v := range m.Roster().Mountpaths {
				if v.Path == e.Path && v.ID == e.Mountpath {
					return true
				}
			}
			return false
		})
		if at < 0 {
			p.t.Fatalf("%s: nobody has the mountpath %s (%s)", what, e.Path, e.Mountpath)
		}
		line := fmt.Sprintf("%s %s/%s", p.members[at].id, e.Kind, e.Cause)
		for _, field := range []struct{ name, value string }{{"by", e.Principal}, {"asked", e.Asked}, {"other", e.Other}} {
			if field.value != "" {
				line += " " + field.name + " " + field.value
			}
		}
		got = append(got, names.Replace(line))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func requestOf(t *testing.T, answer *s3client.Answer) string {
	t.Helper()
	id := answer.Header.Get("x-amz-request-id")
	if id == "" {
		t.Fatal("the answer names no request")
	}
	return id
}

// A key that two of three nodes keep, written through the third: the history tells, from
// whichever node it is asked, of each write at each node, with the id of the request as
// the client saw it and the node that it asked; of a delete; and of what a node that was
// down caught up with. While it is down it is named.
func TestHistoryTellsOfAllNodes(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	answer := p.put(p.other, "one")
	put := requestOf(t, must(t, answer, nil))
	for _, asked := range p.members {
		all := p.history(asked, p.name)
		p.wantHistory("after a put, by "+asked.id, all, "F put/request by troupe asked O", "S stored/write by troupe asked O other F")
		for _, e := range all.Entries {
			if e.Request != put || e.Size != 3 || e.Generation != all.Entries[0].Generation {
				t.Errorf("%+v, want request %s", e, put)
			}
		}
		if len(all.Unanswered) != 0 {
			t.Errorf("%s: %+v did not answer", asked.id, all.Unanswered)
		}
	}
	answer, err := p.first.s3.Delete(p.ctx, p.doc.Name, p.name) // the node in charge itself
	deleted := requestOf(t, must(t, answer, err))
	before := []string{
		"F put/request by troupe asked O", "S stored/write by troupe asked O other F",
		"F deleted/request by troupe", "S deleted/write by troupe asked F other F",
	}
	all := p.history(p.other, p.name)
	p.wantHistory("after a delete", all, before...)
	newest, oldest := all.Entries[0], all.Entries[len(all.Entries)-1]
	if newest.Request != deleted || newest.Size != 0 || newest.Generation.Compare(oldest.Generation) <= 0 || oldest.Request != put {
		t.Errorf("the newest is %+v, the oldest %+v", newest, oldest)
	}

	down := p.without(p.before, p.second)
	must(t, p.put(p.other, "three"), nil)
	all = p.history(p.other, p.name)
	if len(all.Unanswered) != 1 || all.Unanswered[0].Node != p.second.id || all.Unanswered[0].Reason == "" {
		t.Errorf("who did not answer: %+v, want %s", all.Unanswered, p.second.id)
	}
	p.wantHistory("while a node is down", all, "F put/request by troupe asked O", "F deleted/request by troupe", "F put/request by troupe asked O")

	p.returns(down, p.second)
	all = p.history(p.other, p.name)
	p.wantHistory("when it is back", all, append(before, "F put/request by troupe asked O", "S stored/return other F")...)
	if len(all.Unanswered) != 0 {
		t.Errorf("who did not answer: %+v", all.Unanswered)
	}
	if all := p.history(p.other, p.name+"."); len(all.Entries) != 0 { // the control
		t.Errorf("another name: %+v", all.Entries)
	}
}

// What one node asks another to delete for its client, one by one or many at once, and
// a copy, are told as the client's.
func TestHistoryTellsForWhomNodesAsk(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	client := &gateway.Caller{Context: p.ctx, Origin: objects.Origin{Cause: objects.CauseRequest, Principal: "alice", Request: "R1"}}
	var names []string // that the first is in charge of, and the other has nothing of
	for i := 0; len(names) < 2; i++ {
		name := fmt.Sprint("k", i)
		if c := chargeOf(t, p.first, p.doc, name); c.Node.ID == p.first.id && !slices.Contains(c.AckSet, smap.NodeID(p.other.id)) {
			names = append(names, name)
			put := &gateway.Put{Name: name, Size: 5, Body: bytes.NewReader([]byte("value")), Copies: true}
			if _, err := p.first.Gateway().Put(client, p.doc, put); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := p.other.Gateway().Delete(client, p.doc, names[0], "", objects.Conditions{}); err != nil {
		t.Fatal(err)
	}
	for _, deleted := range p.other.Gateway().DeleteElsewhere(client, p.doc, []gateway.Deletion{{Name: names[1]}}) {
		if !deleted.Done || deleted.Err != nil {
			t.Fatalf("%+v", deleted)
		}
	}
	for _, name := range names {
		all := p.history(p.second, name)
		p.wantHistory(name, all,
			"F put/copy by alice", "S stored/write by alice asked F other F",
			"F deleted/request by alice asked O", "S deleted/write by alice asked O other F")
		for _, e := range all.Entries {
			if e.Request != "R1" {
				t.Errorf("%+v", e)
			}
		}
	}
}

// What a node fetches after it lost a disk is told as that; what was recorded on the disk
// is gone with it, and what other nodes recorded is not.
func TestHistoryTellsOfALostDisk(t *testing.T) {
	w, doc, victim, names, lost := losing(t)
	m := becomes(t, w.members[1].nodes.Load().Map, victim.id, smap.Recovering)
	w.adopt(m)
	w.awaitMap(m)
	if err := victim.Gateway().CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	path := victim.Roster().Mountpaths[0].Path // the one that is left
	told := func(name string) (here, elsewhere int) {
		t.Helper()
		all, err := w.members[1].Gateway().History(t.Context(), doc.Name, name, 100)
		if err != nil || len(all.Unanswered) != 0 {
			t.Fatalf("%+v, %v", all, err)
		}
		for _, e := range all.Entries {
			switch {
			case e.Path != path:
				elsewhere++
			case e.Kind == objects.MutationStored && e.Cause == objects.CauseLost && e.Other != "":
				here++
			case slices.Contains(lost, name):
				t.Errorf("%s: %+v", name, e)
			}
		}
		return here, elsewhere
	}
	for _, name := range lost {
		if here, elsewhere := told(name); here != 1 || elsewhere != 1 {
			t.Errorf("%s has %d entries where it was fetched, %d elsewhere", name, here, elsewhere)
		}
	}
	for _, name := range names { // the control: what was not lost was not fetched
		if here, _ := told(name); here != 0 && !slices.Contains(lost, name) {
			t.Errorf("%s was not lost, and was fetched", name)
		}
	}
}
