package native_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"testing"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/messages"
)

// told is what a listing tells of a name.
type told struct {
	name            string
	size            int64
	flags           uint16
	checksum, atime bool // whether they are told
}

func tell(list ais.List) []told {
	entries := []told{}
	for _, e := range list.Entries {
		entries = append(entries, told{e.Name, e.Size, e.Flags, e.Checksum != "", e.Atime != ""})
	}
	return entries
}

// only leaves of what is told what a listing by flags tells.
func only(all []told, keep func(told) told) []told {
	kept := []told{}
	for _, e := range all {
		kept = append(kept, keep(e))
	}
	return kept
}

// Each flag of a listing of an ais bucket does what the table of docs/native.md says, on
// one node and on each of three with two copies of everything, where delete markers and
// second copies lie about that are no objects.
func TestListFlags(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		n := start(t, nil)
		n.bucket("b")
		listFlags(t, []*node{n})
	})
	t.Run("three", func(t *testing.T) {
		nodes := startThree(t, "b")
		listFlags(t, nodes)
		if copies, markers := kept(t, nodes, "b", "a/1"), kept(t, nodes, "b", "deleted-0"); copies != 2 || markers != 2 {
			t.Errorf("%d nodes have a/1, and %d what it was that was deleted, want 2 each: there was nothing to leave out", copies, markers)
		}
	})
}

// kept is how many nodes have a record of a name, be it one of a delete.
func kept(t *testing.T, nodes []*node, bucket, name string) (count int) {
	t.Helper()
	for _, n := range nodes {
		doc, err := n.Gateway().Bucket(bucket)
		if err != nil {
			t.Fatal(err)
		}
		charge, err := n.Gateway().Charge(doc, name)
		if err != nil {
			t.Fatal(err)
		}
		var differs *messages.MapDiffers // of a node that owns nothing of the key
		switch kept, err := n.Gateway().Show(doc, name, charge.Epoch, false); {
		case errors.As(err, &differs):
		case err != nil:
			t.Fatal(err)
		case kept.Record != nil:
			count++
		}
	}
	return count
}

func listFlags(t *testing.T, nodes []*node) {
	do := func(method, target, body string) answer {
		t.Helper()
		return mustSomewhere(t, nodes, method, target, body)
	}
	whole := []told{
		{"a/1", 1, ais.EntryCached, true, true}, {"a/2", 5000, ais.EntryCached, true, true}, {"a/deep/3", 3, ais.EntryCached, true, true},
		{"b", 4, ais.EntryCached, true, true}, {"c/5", 5, ais.EntryCached, true, true}, {"parts", 11, ais.EntryCached | ais.EntryChunked, false, true},
	}
	for _, e := range whole[:5] {
		do("PUT", "/v1/objects/b/"+e.name, payload(int(e.size)))
	}
	id := do("POST", "/v1/objects/b/parts", action("mpt-upload", nil)).body
	do("PUT", "/v1/objects/b/parts?partNumber=1&uploadId="+id, "in ")
	do("PUT", "/v1/objects/b/parts?partNumber=2&uploadId="+id, "parts, b")
	do("POST", "/v1/objects/b/parts?uploadId="+id, action("mpt-complete", []ais.PartName{{Number: 1}, {Number: 2}}))
	for i := range 6 { // so many that one of three nodes in charge leaves markers at another
		name := fmt.Sprint("/v1/objects/b/deleted-", i)
		do("PUT", name, "x")
		do("DELETE", name, "")
	}

	usual := only(whole, func(e told) told { return told{e.name, e.size, ais.EntryCached, false, false} })
	named := only(usual, func(e told) told { return told{name: e.name, flags: e.flags} })
	level := []told{{name: "a/", flags: ais.EntryDirectory}, usual[3], {name: "c/", flags: ais.EntryDirectory}, usual[5]}
	type expected struct {
		props   string
		entries []told
		status  int // of a refusal
		kind    string
		text    string
	}
	cases := map[int]expected{
		0:                     {entries: usual},
		ais.ListCached:        {entries: whole},
		ais.ListMissing:       {entries: usual},
		ais.ListDeleted:       {entries: usual},
		ais.ListArchives:      {status: 501, kind: "ErrNotImpl", text: "listing the content of archives"},
		ais.ListNameOnly:      {props: "name,size,checksum,atime", entries: named},
		ais.ListNameSize:      {props: "name,checksum,atime", entries: usual},
		ais.ListBucketPresent: {entries: usual},
		ais.ListDontHead:      {entries: usual},
		ais.ListDontAdd:       {entries: usual},
		ais.ListNotCached:     {status: 400, text: `bucket "ais://b" has no backend: every object is in the cluster`},
		ais.ListInternal:      {entries: usual},
		ais.ListNoRecursion:   {entries: level},
		ais.ListDiff:          {entries: usual},
		ais.ListNoDirs:        {entries: usual},
		ais.ListS3:            {entries: usual},
		ais.ListInventory:     {status: 400, text: `bucket "ais://b" has no backend: it has no inventory to list (flag 32768)`},
	}
	for bit := range ais.ListFlags {
		if _, ok := cases[1<<bit]; !ok {
			t.Errorf("flag %d has no case", 1<<bit)
		}
	}
	// Together: what asks nothing asks nothing beside others either, and what is refused is.
	const silent = ais.ListMissing | ais.ListDeleted | ais.ListBucketPresent | ais.ListDontHead | ais.ListDontAdd |
		ais.ListInternal | ais.ListDiff | ais.ListNoDirs | ais.ListS3
	together := maps.Clone(cases)
	for flags, want := range cases {
		if want.status == 0 {
			together[flags|silent] = want
		}
	}
	together[ais.ListCached|ais.ListNotCached] = cases[ais.ListNotCached]
	together[ais.ListNoRecursion|ais.ListArchives] = cases[ais.ListArchives]
	together[ais.ListNoRecursion|ais.ListNameOnly] = expected{entries: only(level, func(e told) told { return told{name: e.name, flags: e.flags} })}
	together[1<<ais.ListFlags] = expected{status: 400, text: "invalid flags 65536"}
	for i, n := range nodes {
		for flags, want := range together {
			t.Run(fmt.Sprintf("node%d/%d", i, flags), func(t *testing.T) {
				n := *n
				n.t = t
				message := map[string]any{"flags": strconv.Itoa(flags), "props": want.props}
				if want.status != 0 {
					n.refused(call{method: "GET", target: "/v1/buckets/b", body: action("list", message)}, want.status, want.kind, want.text)
					return
				}
				if got := tell(n.list("b", message)); !reflect.DeepEqual(got, want.entries) {
					t.Errorf("%+v, want %+v", got, want.entries)
				}
				var got []told // one name a page, each page of another node
				message["pagesize"] = 1
				for next := i; ; next++ {
					if next > i+2*len(want.entries) {
						t.Fatalf("the listing does not end: %+v", got)
					}
					at := *nodes[next%len(nodes)]
					at.t = t
					page := at.list("b", message)
					got = append(got, tell(page)...)
					if message["continuation_token"], message["uuid"] = page.ContinuationToken, page.UUID; page.ContinuationToken == "" {
						break
					}
				}
				if !reflect.DeepEqual(got, want.entries) {
					t.Errorf("name by name %+v, want %+v", got, want.entries)
				}
			})
		}
		// A bucket that is not there is not, whatever is asked of it, and is not made.
		for _, flags := range []int{0, ais.ListBucketPresent, ais.ListDontAdd, ais.ListDontHead, ais.ListNotCached, ais.ListArchives, ais.ListInventory} {
			absent := call{method: "GET", target: "/v1/buckets/absent", body: action("list", map[string]any{"flags": strconv.Itoa(flags)}), header: []string{"Ais-Inv-Name", "x"}}
			n.refused(absent, 404, "ErrBckNotFound", `bucket "ais://absent" does not exist`)
		}
		if a := n.must("GET", "/v1/buckets?provider=ais", action("list", nil)); a.body != `[{"name":"b","provider":"ais","namespace":{"uuid":"","name":""}}]` {
			t.Errorf("buckets: %s", a.body)
		}
	}
}
