package hostile_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/s3client"
)

// hostileKeys are names of objects that want to be something else.
func hostileKeys() []string {
	long := strings.Repeat("n", 255)
	deep := strings.TrimSuffix(strings.Repeat("level/", 16), "/")
	keys := []string{
		// out of the bucket
		"..", ".", "../x", "./x", "a/..", "a/.", "a/../b", "a/./b", "../../etc/passwd", "../../../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd",
		"..//..//etc/passwd", "....//....//etc/passwd", "..\\..\\etc\\passwd", "..;/etc/passwd", "a/../../../sentinel", "../../sentinel", "../sentinel",
		"%2e%2e%2fetc%2fpasswd", "%2e%2e/etc/passwd", "..%2fetc%2fpasswd", "%252e%252e%252fetc%252fpasswd", "..%c0%afetc", "..%00/etc/passwd",
		"file:///etc/passwd", "~/.ssh/authorized_keys", "$(touch sentinel)", "`touch sentinel`", "| touch sentinel", "-rf", "--", "*", "?", "[a-z]",
		// into Troupe's own
		".troupe", ".troupe/format.json", ".troupe/work/1-1-1", ".troupe/lock", ".troupe-escaped", ".troupe-escaped/x", ".troupe-escaped/00ff", ".troupe-",
		"../.troupe/format.json", "a/.troupe", "a/.troupe-escaped/b", "lost+found",
		// slashes
		"/", "//", "///", "a/", "a//", "a//b", "/a", "//a", "/a/", "slash/end/",
		// bytes
		"a\x00b", "\x00", "a\x01b", "a\nb", "a\r\nb", "a\tb", " ", "  ", " a ", "a\x7fb", "a+b c%d&e=f?g#h", "a\"b'c<d>e", "\\", "a\\b",
		"\u00e9", "e\u0301", "\u202etxt.exe", "\ufeff", "\U0001f600", "K\u212a", "\u2024\u2024/etc", "\uff0e\uff0e/etc",
		"CON", "nul", "con.txt", ".", "..x", "...", "x..", ".hidden",
		// lengths
		strings.Repeat("k", 1024), strings.Repeat("k/", 512), long, long + "n", long + "/" + long + "/" + long, strings.Repeat("\u00e9", 127) + "x", strings.Repeat("\u00e9", 128),
		strings.Repeat("\U0001f600", 63), strings.Repeat("\U0001f600", 64), strings.Repeat("\U0001f600", 256), deep, deep + "/below", strings.TrimSuffix(strings.Repeat("d/", 500), "/"),
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Names of every hostile kind are stored and listed exactly as they are, or
// refused; payloads of both kinds, in the index and in files; over a start too;
// and nothing outside the mountpaths is touched.
func TestNames(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	content := func(key string, size int) []byte { return bytes.Repeat([]byte(key+"|"), size/(len(key)+1)+1) }
	for _, size := range []int{1, 40 << 10} {
		var stored []string
		for _, key := range hostileKeys() {
			answer := a.put(key, content(key, size))
			if !answer.OK() {
				a.refused(fmt.Sprintf("put of %q", key), answer)
				if got := a.get(key); got.OK() {
					t.Errorf("%q was refused and is there", key)
				}
				t.Logf("refused: %.60q: %s", key, answer.Code)
				continue
			}
			stored = append(stored, key)
		}
		look := func(when string) {
			t.Helper()
			a.holds(stored...)
			for _, key := range stored {
				if got := a.get(key); !got.OK() || !bytes.Equal(got.Body, content(key, size)) {
					t.Errorf("%s: %q of %d bytes holds %d bytes: %v", when, key, size, len(got.Body), got.Err())
				}
			}
			a.checkSentinels()
		}
		look("at once")
		if size > 1 { // the witness may not see a node that is away
			a.dismiss()
			if err := a.node.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := a.node.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			look("after a kill")
		}
		for _, key := range stored {
			a.ok("delete", key, a.delete(key))
		}
		a.holds()
	}
	a.end()
}

// A path as it is sent, with dots and slashes in every encoding, names a key of
// its bucket or is refused; none leads elsewhere, and none is cleaned on the way.
func TestTargets(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	for _, path := range []string{
		"/arena/../../etc/passwd", "/arena/%2e%2e/%2e%2e/etc/passwd", "/arena/..%2f..%2fetc%2fpasswd", "/arena/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
		"/arena/..%5c..%5cetc%5cpasswd", "/arena/%252e%252e%252fetc", "/arena//etc/passwd", "/arena/./x", "/../arena/x", "/arena/..", "/arena/.", "/..", "/.", "/%2e%2e/etc/passwd",
		"//etc/passwd", "/%2farena/x", "/arena%2fx", "/arena/%00", "/arena/a%00b", "/arena/%c0%ae%c0%ae%c0%afetc", "/arena/%ff", "/arena/%", "/arena/%2", "/arena/%zz", "/arena/%u002e",
		"/.troupe/format.json", "/.troupe", "/.troupe-escaped/x", "/lost+found/x", "/sentinel", "/a/x", "/..%2f/x", "/%2e%2e%2fx/y", "/arena\\..\\x", "/ARENA/x",
	} {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			signed, _, err := a.client.Head(s3client.Request{Method: method, Path: path, Bucket: bucket})
			if err != nil { // what cannot be signed is sent as it is, with another's signature
				if signed, _, err = a.client.Head(s3client.Request{Method: method, Bucket: bucket, Key: "x"}); err != nil {
					t.Fatal(err)
				}
				signed = strings.Replace(signed, "/arena/x", path, 1)
			}
			body := "hostile"
			if method != "PUT" {
				body = ""
			}
			answer := a.exchange(signed + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
			switch {
			case answer == nil:
				t.Errorf("%s %s: no answer", method, path)
			case method == "GET" && answer.OK():
				if string(answer.Body) != "hostile" && !strings.HasPrefix(string(answer.Body), "<?xml") {
					t.Errorf("GET %s: %.100q", path, answer.Body)
				}
			case !answer.OK():
				a.refused(method+" "+path, answer)
			}
			a.checkSentinels()
		}
	}
	a.holds()
	a.end()
}

// Names that S3 does not allow for buckets are refused, above all those that
// would be Troupe's own directories.
func TestBucketNames(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	for _, name := range []string{
		".troupe", ".troupe-escaped", "..", ".", "lost+found", "UPPER", "under_score", "a", "ab", strings.Repeat("b", 64), "-begin", "end-", ".begin", "end.", "two..dots",
		"192.168.0.1", "a b", "a\x00b", "a/b", "%2e%2e", "xn--name", "\u00e9t\u00e9", "new\nline", "etc\\passwd",
	} {
		answer, err := a.client.Do(t.Context(), s3client.Request{Method: "PUT", Path: "/" + strings.TrimPrefix(s3client.Query("x", name), "x=")})
		if answer := a.answered(answer, err); answer.OK() {
			t.Errorf("the bucket %q was made", name)
			continue
		}
		a.refused(fmt.Sprintf("bucket %q", name), answer)
	}
	a.holds()
	a.end()
}

// Of names that lie below one another ("a", "a/b", "a/b/c") each is stored in
// every order, replaced, and deleted in every order, small and large; no one
// takes another along.
func TestNamesBelowOneAnother(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	orders := [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, size := range []int{10, 40 << 10} {
		for i, puts := range orders {
			for j, deletes := range orders {
				root := fmt.Sprintf("%d/%d/%d/a", size, i, j)
				keys := []string{root, root + "/b", root + "/b/c"}
				held := map[string][]byte{}
				look := func(when string) {
					t.Helper()
					for _, key := range keys {
						got := a.get(key)
						if want := held[key]; want == nil && got.Code != "NoSuchKey" || want != nil && !bytes.Equal(got.Body, want) {
							t.Fatalf("puts %v, deletes %v, %s: %s holds %d bytes, want %d: %v", puts, deletes, when, key, len(got.Body), len(want), got.Err())
						}
					}
				}
				for _, n := range puts {
					held[keys[n]] = bytes.Repeat([]byte{byte('0' + n)}, size)
					a.ok("put", keys[n], a.put(keys[n], held[keys[n]]))
				}
				look("put")
				held[keys[puts[0]]] = bytes.Repeat([]byte("again"), size/5)
				a.ok("put", keys[puts[0]], a.put(keys[puts[0]], held[keys[puts[0]]]))
				look("replaced")
				for _, n := range deletes {
					a.ok("delete", keys[n], a.delete(keys[n]))
					delete(held, keys[n])
					look("deleted")
				}
			}
		}
	}
	a.holds()
	a.end()
}
