package auth

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
)

// What botocore signs with version 2 is taken over a real connection where it is
// switched on, by the pair before the last change, too, and refused in S3's words
// where it is switched off.
func TestVersion2OverTheWire(t *testing.T) {
	data, err := os.ReadFile("../../api/sigv2/testdata/botocore.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Time      int64
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
		Domain    string
		Vectors   []struct {
			Name, Method, Path, Query, Host string
			Headers                         [][2]string
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	pair := Root{AccessKey: file.AccessKey, SecretKey: file.SecretKey}
	o := Options{Credentials: pair, Version2: true, Domains: []string{file.Domain}, Now: func() time.Time { return time.Unix(file.Time, 0) }}
	changed, off, other := o, o, o
	changed.Credentials, changed.Previous = Root{AccessKey: "new", SecretKey: "new"}, pair
	off.Version2 = false
	other.Credentials = Root{AccessKey: file.AccessKey, SecretKey: "another"}
	for _, c := range []struct {
		options Options
		want    sigv4.Code
	}{{o, ""}, {changed, ""}, {off, sigv4.InvalidRequest}, {other, sigv4.SignatureDoesNotMatch}} {
		e := newEdge(t, c.options)
		for _, v := range file.Vectors {
			target := v.Path
			if v.Query != "" {
				target += "?" + v.Query
			}
			var headers []objects.Pair
			for _, h := range v.Headers {
				headers = append(headers, objects.Pair{Name: h[0], Value: h[1]})
			}
			got := e.send(t, request(v.Method, target, v.Host, headers, nil))
			if codeOf(got.err) != c.want || c.want == "" && (got.err != nil || got.identity.AccessKey != file.AccessKey) {
				t.Errorf("%s: %+v, %v, want %q", v.Name, got.identity, got.err, c.want)
			}
		}
	}
}
