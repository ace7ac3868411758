package native_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// How many copies there are, and at which nodes, is told by HEAD and by listings through
// each node alike; a node that is alone tells its mountpath.
func TestCopiesAreTold(t *testing.T) {
	nodes := startThree(t, "b")
	at := map[string]bool{} // nodes that the location of some name is at
	for i := range 12 {
		name := "o" + strconv.Itoa(i)
		mustSomewhere(t, nodes, "PUT", "/v1/objects/b/"+name, "content")
		head := mustSomewhere(t, nodes, "HEAD", "/v1/objects/b/"+name+"?props=copies,location", "")
		paths := strings.Split(strings.Trim(head.header.Get("Ais-Mirror-Paths"), "[]"), ",")
		if head.header.Get("Ais-Mirror-Copies") != "2" || len(paths) != 2 || !strings.HasPrefix(paths[0], "/") || !strings.HasPrefix(paths[1], "t[tn") {
			t.Errorf("%s: %v", name, head.header)
		}
		var here, there []string
		for _, n := range nodes {
			entry := n.list("b", map[string]any{"prefix": name, "props": "name,copies,location", "pagesize": 1}).Entries[0]
			if entry.Copies != 2 {
				t.Errorf("%s has %d copies", name, entry.Copies)
			}
			if strings.Contains(entry.Location, "]:/") {
				here = append(here, entry.Location)
			} else {
				there = append(there, entry.Location)
				at[entry.Location] = true
			}
		}
		slices.Sort(there)
		if len(here) != 1 || here[0] != head.header.Get("Ais-Location") || len(there) != 2 || there[0] != there[1] {
			t.Errorf("%s is at %q by its own node, %q by HEAD, and at %q by the others", name, here, head.header.Get("Ais-Location"), there)
		}
	}
	if len(at) < 2 {
		t.Errorf("all names are at %v: nothing was shown", at)
	}
	n := start(t, nil)
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/o", "content")
	head := n.must("HEAD", "/v1/objects/b/o?props=copies", "")
	if paths := head.header.Get("Ais-Mirror-Paths"); head.header.Get("Ais-Mirror-Copies") != "1" || !strings.HasPrefix(paths, "[/") || strings.Contains(paths, ",") {
		t.Errorf("alone: %v", head.header)
	}
}
