package native_test

import "testing"

// What AIStore's API has beside its core is refused by name, and what it says no
// to is refused with its statuses: a client's mistake is told from what is not
// here, and neither is taken for success.
func TestRefusals(t *testing.T) {
	n := start(t, nil)
	n.bucket("b")
	n.must("PUT", "/v1/objects/b/o", "content")
	for target, words := range map[string]string{
		"/v1/etl": "ETL", "/v1/etl/x/start": "ETL", "/v1/sort": "dsort", "/v1/sort/abort": "dsort", "/v1/download": "downloading",
		"/v1/tokens": "tokens", "/v1/users/me": "AuthN", "/v1/roles": "AuthN", "/v1/clusters/id": "AuthN", "/ais/b/o": "easy URL", "/gs/b/o": "easy URL", "/az/b": "easy URL",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			n.refused(call{method: method, target: target, body: "{}"}, 501, "ErrNotImpl", words)
		}
	}
	list := action("list", nil)
	for _, c := range []struct {
		call
		status     int
		kind, text string
	}{
		{call{method: "GET", target: "/v1/etls"}, 400, "", "no such path"},
		{call{method: "GET", target: "/v1/vote"}, 400, "", "no such path"},
		{call{method: "GET", target: "/v1/daemon?what=smap", header: []string{"Ais-Caller-Id", "t1"}}, 403, "", "between nodes"},
		{call{method: "PUT", target: "/v1/objects/b/o", body: "x", header: []string{"Ais-Caller-Id", "t1"}}, 403, "", "between nodes"},
		{call{method: "GET", target: "/v1/objects/b/o?archpath=a&archregx=b"}, 400, "", "together"},
		{call{method: "PUT", target: "/v1/objects/b/o?archpath=a&archregx=", body: "x"}, 501, "ErrNotImpl", "archpath"},
		{call{method: "HEAD", target: "/v1/objects/b/o?latest-ver=maybe"}, 400, "", "latest-ver"},
		{call{method: "HEAD", target: "/v1/objects/b/o?presence=5"}, 400, "", "in the cluster"},
		{call{method: "HEAD", target: "/v1/objects/b/o?props=cached"}, 400, "", "cached"},
		{call{method: "GET", target: "/v1/objects/b/o", header: []string{"Ais-Blob-Download", "true"}}, 400, "", "no backend"},
		{call{method: "DELETE", target: "/v1/objects/b/o", body: `{"action":"evict-listrange","name":"b/o"}`}, 400, "", "no backend"},
		{call{method: "DELETE", target: "/v1/buckets/b", body: action("evict-remote-bck", nil)}, 400, "", "no backend"},
		{call{method: "GET", target: "/v1/buckets/b", body: list, header: []string{"Ais-Inv-Name", "x"}}, 400, "", "no inventory to list (Ais-Inv-Name)"},
		{call{method: "GET", target: "/v1/buckets/b", body: list, header: []string{"Ais-Bucket-Inventory", "true"}}, 400, "", "no inventory to list (Ais-Bucket-Inventory)"},
		{call{method: "GET", target: "/v1/buckets/b", body: action("list", map[string]any{"flags": "512"})}, 400, "", ""},
		{call{method: "PATCH", target: "/v1/buckets/b", body: action("set-bprops", map[string]any{"checksum": map[string]any{"type": "crc7"}})}, 400, "", "crc7"},
		{call{method: "POST", target: "/v1/buckets/b/behind", body: action("create-bck", nil)}, 400, "", "nothing behind it"},
		{call{method: "HEAD", target: "/v1/buckets/none/prefix"}, 404, "ErrBckNotFound", "ais://none"},
	} {
		n.refused(c.call, c.status, c.kind, c.text)
	}
	// Control: the same without what is refused, and a prefix behind a bucket that is asked for its properties.
	n.must("HEAD", "/v1/objects/b/o?latest-ver=true&validate-checksum=true&presence=3", "")
	n.must("GET", "/v1/buckets/b", list)
	n.must("GET", "/v1/objects/b/o?archpath=&archregx=", "", "Ais-Blob-Download", "false")
	for _, target := range []string{"/v1/buckets/b", "/v1/buckets/b/dir", "/v1/buckets/b/dir/deeper"} {
		if a := n.must("HEAD", target, ""); a.header.Get("Ais-Bucket-Props") == "" {
			t.Errorf("%s: %v", target, a.header)
		}
	}
}
