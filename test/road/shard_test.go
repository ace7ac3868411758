package road

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// Members of a shard are read through every node, by who is sent on and by who is relayed;
// from other nodes where the disk of the one in charge fails, or has the payload damaged and
// the bucket wants to know; and without other nodes, they are not.
func TestShardsThroughEveryNode(t *testing.T) {
	w := newBreakingWorld(t, 3)
	doc := w.share("shards", objects.BucketProps{Copies: 2, ValidateWarmGet: true})
	victim, ctx := w.members[0], context.Background()
	names := ours(t, victim, doc, 3)
	contents := make(map[string][]byte)
	for i, f := range []archive.Format{archive.Tar, archive.TarGzip, archive.Zip} {
		var b bytes.Buffer
		shard, err := archive.NewWriter(&b, f, archive.WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 90 {
			name := fmt.Sprintf("m-%02d", n)
			contents[name] = payload(uint64(n), 1000+10*n)
			if err := shard.Add(archive.Input{Name: name, Size: int64(len(contents[name])), Body: bytes.NewReader(contents[name])}); err != nil {
				t.Fatal(err)
			}
		}
		if err := shard.Close(); err != nil {
			t.Fatal(err)
		}
		answer, err := w.members[i].s3.Put(ctx, doc.Name, names[i], b.Bytes())
		must(t, answer, err)
	}
	// get returns what a client takes for the whole answer.
	get := func(m *member, name, query string) ([]byte, error) {
		response, err := http.Get("http://" + m.Native() + "/v1/objects/" + doc.Name + "/" + name + "?" + query)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%d %s", response.StatusCode, body)
		}
		return body, err
	}
	failures := func() (failed []error) {
		t.Helper()
		for _, m := range w.members {
			for _, name := range names {
				for _, road := range []string{"", "&pid=another"} { // one that was sent here is relayed
					body, err := get(m, name, "archpath=m-80"+road)
					if err == nil && !bytes.Equal(body, contents["m-80"]) {
						t.Fatalf("%s of %s at %s: %d bytes are wrong", name, road, m.id, len(body))
					}
					if err != nil {
						failed = append(failed, fmt.Errorf("%s at %s%s: %w", name, m.id, road, err))
					}
					body, err = get(m, name, "archmode=suffix&archregx="+url.QueryEscape("7")+road)
					if err != nil {
						failed = append(failed, fmt.Errorf("matching in %s at %s%s: %w", name, m.id, road, err))
						continue
					}
					reader, seen := tar.NewReader(bytes.NewReader(body)), 0
					for {
						header, err := reader.Next()
						if err == io.EOF {
							break
						}
						content, wrong := io.ReadAll(reader)
						if err != nil || wrong != nil || !bytes.Equal(content, contents[header.Name]) {
							t.Fatalf("%s at %s%s: %v %v", name, m.id, road, err, wrong)
						}
						seen++
					}
					if seen != 9 {
						t.Fatalf("%s at %s%s: %d members, want 9", name, m.id, road, seen)
					}
				}
			}
		}
		return failed
	}
	if failed := failures(); failed != nil {
		t.Fatalf("before anything happened: %v", failed)
	}
	if begun, _, bodies := victim.Gateway().Around(); begun+bodies != 0 {
		t.Fatalf("%d reads went around healthy disks", begun+bodies)
	}
	for what, do := range map[string]faults.DiskEffect{"fails": faults.Fail, "has flipped bits": faults.FlipBits} {
		victim.breaks(t, faults.Disk{Do: do, Path: "shards/**", Calls: []string{"read"}}, faults.When{})
		if failed := failures(); failed != nil {
			t.Fatalf("the disk %s: %d reads failed: %v", what, len(failed), failed)
		}
		victim.peers.stayHome.Store(true)
		if failures() == nil {
			t.Fatal("nothing fails although nobody is asked: the test says nothing")
		}
		victim.peers.stayHome.Store(false)
		victim.desk.ClearAll()
	}
	if begun, failed, bodies := victim.Gateway().Around(); begun+bodies == 0 {
		t.Errorf("%d reads and %d bodies went around, of which %d failed", begun, bodies, failed)
	}
	w.quiet()
}
