package sigv2

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
)

// wire is a request as it is sent.
type wire struct {
	Name, Method, Path, Query, Host string
	Headers                         [][2]string
}

// All implements sigv4.Headers.
func (w *wire) All(visit func(name, value []byte)) {
	for _, h := range w.Headers {
		visit([]byte(h[0]), []byte(h[1]))
	}
}

func (w *wire) request() *sigv4.Request {
	return &sigv4.Request{Method: []byte(w.Method), Path: []byte(w.Path), Query: []byte(w.Query), Host: []byte(w.Host), Headers: w}
}

func (w *wire) copy() *wire {
	c := *w
	c.Headers = append([][2]string{}, w.Headers...)
	return &c
}

// vectors returns what botocore signed, and a verifier of its time.
func vectors(t testing.TB) ([]wire, *Verifier, *time.Time) {
	t.Helper()
	data, err := os.ReadFile("testdata/botocore.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Time      int64
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
		Domain    string
		Vectors   []wire
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(file.Time, 0)
	v := NewVerifier(Options{
		Domains: []string{file.Domain}, Now: func() time.Time { return now },
		Secret: func(key string) (string, bool) { return file.SecretKey, key == file.AccessKey },
	})
	return file.Vectors, v, &now
}

func codeOf(err error) sigv4.Code {
	var e *sigv4.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// What botocore signs is accepted, for as long as it says and not longer.
func TestBotocore(t *testing.T) {
	list, v, now := vectors(t)
	at := *now
	for _, w := range list {
		*now = at
		if !Claims(w.request()) {
			t.Errorf("%s: no claim", w.Name)
		}
		id, err := v.Verify(w.request())
		if err != nil || id.AccessKey != "AKIDTROUPE" || id.Anonymous || id.Presigned != strings.Contains(w.Query, "Signature=") {
			t.Errorf("%s: %+v, %v", w.Name, id, err)
		}
		want := sigv4.RequestTimeTooSkewed
		if *now = at.Add(15*time.Minute + time.Second); id.Presigned {
			want, *now = sigv4.AccessDenied, id.Time.Add(time.Second)
		}
		if _, err := v.Verify(w.request()); codeOf(err) != want {
			t.Errorf("%s: late: %v", w.Name, err)
		}
	}
	if len(list) < 20 {
		t.Errorf("%d vectors", len(list))
	}
}

// A request of which anything is another than what was signed is refused.
func TestMutated(t *testing.T) {
	list, v, _ := vectors(t)
	refused := 0
	for _, w := range list {
		mutants := map[string]*wire{}
		mutant := func(name string, change func(*wire)) {
			c := w.copy()
			change(c)
			mutants[name] = c
		}
		mutant("method", func(c *wire) { c.Method = "DELETE" })
		mutant("object", func(c *wire) { c.Path += "/x" })
		mutant("path", func(c *wire) { c.Path += "x" })
		mutant("acl header", func(c *wire) { c.Headers = append(c.Headers, [2]string{"x-amz-copy-source", "/other/key"}) })
		mutant("content type", func(c *wire) { c.Headers = append([][2]string{{"Content-Type", "text/html"}}, c.Headers...) })
		mutant("second content type", func(c *wire) { c.Headers = append(c.Headers, [2]string{"content-type", "text/html"}) })
		mutant("md5", func(c *wire) {
			c.Headers = append([][2]string{{"Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="}}, c.Headers...)
		})
		for _, extra := range []string{"torrent", "versionId=x", "partNumber=9", "response-content-type=text/html", "x-amz-acl=public-read", "X-Amz-Acl=public-read", "retention", "attributes"} {
			mutant("query "+extra, func(c *wire) { c.Query = strings.TrimPrefix(c.Query+"&"+extra, "&") })
		}
		mutant("host", func(c *wire) { c.Host = "stolen.s3.example" })
		for i, h := range w.Headers {
			if lower := strings.ToLower(h[0]); lower == "range" {
				continue // not signed
			}
			mutant("changed "+h[0], func(c *wire) { c.Headers[i][1] = "x" + c.Headers[i][1] })
			mutant("dropped "+h[0], func(c *wire) { c.Headers = append(c.Headers[:i:i], c.Headers[i+1:]...) })
		}
		for i := range w.Query {
			if strings.Contains("&=%", string(w.Query[i])) {
				continue
			}
			name := w.Query[strings.LastIndexByte(w.Query[:i+1], '&')+1:]
			if name = name[:strings.IndexAny(name+"=", "=&")]; name == "prefix" || name == "list-type" || name == "max-keys" {
				continue
			}
			mutant("query byte", func(c *wire) { c.Query = c.Query[:i] + "~" + c.Query[i+1:] })
			for name, m := range mutants {
				check(t, v, w.Name, name, m)
				refused++
			}
			clear(mutants)
		}
		for name, m := range mutants {
			check(t, v, w.Name, name, m)
			refused++
		}
	}
	if refused < 500 {
		t.Errorf("%d mutants", refused)
	}
}

func check(t *testing.T, v *Verifier, vector, name string, m *wire) {
	t.Helper()
	if id, err := v.Verify(m.request()); err == nil || id.AccessKey != "" {
		t.Errorf("%s, %s: accepted: %+v", vector, name, m)
	}
}

// What is malformed is refused in S3's words.
func TestRefused(t *testing.T) {
	_, v, _ := vectors(t)
	const date = "Thu, 29 Feb 2024 12:34:56 GMT"
	for _, c := range []struct {
		authorization, query, date string
		want                       sigv4.Code
	}{
		{"AWS AKIDTROUPE", "", date, sigv4.InvalidArgument},
		{"AWS :x", "", date, sigv4.InvalidArgument},
		{"AWS AKIDTROUPE:", "", date, sigv4.InvalidArgument},
		{"AWS NOBODY:x", "", date, sigv4.InvalidAccessKeyID},
		{"AWS AKIDTROUPE:x", "", date, sigv4.SignatureDoesNotMatch},
		{"AWS AKIDTROUPE:x", "", "yesterday", sigv4.AccessDenied},
		{"AWS AKIDTROUPE:x", "", "", sigv4.AccessDenied},
		{"AWS AKIDTROUPE:x", "", "Thu, 29 Feb 2024 12:19:55 GMT", sigv4.RequestTimeTooSkewed},
		{"AWS AKIDTROUPE:x", "a=%z", date, sigv4.InvalidURI},
		{"AWS AKIDTROUPE:x", "legal-hold", date, sigv4.InvalidRequest},
		{"", "AWSAccessKeyId=AKIDTROUPE&Signature=x", "", sigv4.AccessDenied},
		{"", "AWSAccessKeyId=AKIDTROUPE&Signature=x&Expires=soon", "", sigv4.AccessDenied},
		{"", "AWSAccessKeyId=AKIDTROUPE&Signature=x&Expires=1709210095", "", sigv4.AccessDenied},
		{"", "AWSAccessKeyId=AKIDTROUPE&Signature=x&Signature=y&Expires=1709210097", "", sigv4.AccessDenied},
		{"", "AWSAccessKeyId=AKIDTROUPE&Signature=x&Expires=1709210097", "", sigv4.SignatureDoesNotMatch},
	} {
		w := &wire{Method: "GET", Path: "/b/k", Query: c.query, Host: "h"}
		for _, h := range []objects.Pair{{Name: "Authorization", Value: c.authorization}, {Name: "Date", Value: c.date}} {
			if h.Value != "" {
				w.Headers = append(w.Headers, [2]string{h.Name, h.Value})
			}
		}
		if _, err := v.Verify(w.request()); codeOf(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Whatever a request is made of, it is refused in words, or is one that was signed.
func FuzzVerify(f *testing.F) {
	list, v, _ := vectors(f)
	signed := map[string]bool{}
	for _, w := range list {
		var authorization, date string
		for _, h := range w.Headers {
			switch h[0] {
			case "Authorization":
				authorization = h[1]
			case "Date":
				date = h[1]
			}
		}
		f.Add(w.Method, w.Path, w.Query, w.Host, authorization, date, "x-amz-meta-a", "1")
		c := collect(w.request())
		if authorization == "" {
			date, _ = c.parameter("Expires")
		}
		signed[v.stringToSign(c, date)] = true
	}
	f.Fuzz(func(t *testing.T, method, path, query, host, authorization, date, name, value string) {
		w := &wire{Method: method, Path: path, Query: query, Host: host, Headers: [][2]string{{"Authorization", authorization}, {"Date", date}, {name, value}}}
		if authorization == "" {
			w.Headers = w.Headers[1:]
		}
		Claims(w.request())
		id, err := v.Verify(w.request())
		if err != nil {
			if codeOf(err) == "" || id.AccessKey != "" {
				t.Fatalf("%#v, %+v", err, id)
			}
			return
		}
		c := collect(w.request())
		line := c.header("date")
		if c.header("x-amz-date") != "" {
			line = ""
		}
		if id.Presigned {
			line, _ = c.parameter("Expires")
		}
		slashed := v.bucketOf(string(c.request.Host)) == "" && c.isBucket() && signed[v.slashed(c, line)]
		if !slashed && !signed[v.stringToSign(c, line)] {
			t.Fatalf("accepted: %+v", w)
		}
	})
}
